import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["test/sabotage/fabric-fixture.ts"], retry: 0 } });
