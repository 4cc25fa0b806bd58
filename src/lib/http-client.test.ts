import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HttpClient, type TlsTarget } from "#lib/http-client.ts";
import { certificateMake } from "../../test/support/certificate.ts";

const authority = certificateMake({ commonName: "authority", authority: true });
const stranger = certificateMake({ commonName: "authority", authority: true });
const client = certificateMake({ commonName: "client" });
const named = certificateMake({ commonName: "named", names: ["127.0.0.1"], issuer: authority });
const nameless = certificateMake({ commonName: "elsewhere", names: ["elsewhere.example"], issuer: authority });
const alone = certificateMake({ commonName: "alone" });
const ended = certificateMake({ commonName: "ended", names: ["127.0.0.1"], issuer: authority, endsInDays: -1 });

const servers = new Map<string, Server>();
/** Names of servers that somebody's request reached. */
const reached: string[] = [];

beforeAll(async () => {
  for (const [name, { cert, key }] of Object.entries({ named, nameless, alone, ended })) {
    const server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, (request, response) => {
      reached.push(name);
      response.end((request.socket as TLSSocket).getPeerCertificate().subject?.CN ?? "nobody");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    servers.set(name, server);
  }
});
afterAll(async () => {
  for (const server of servers.values()) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

const signal = AbortSignal.timeout(20_000);

async function fetchText(server: string, target: Partial<TlsTarget>): Promise<string> {
  const { port } = servers.get(server)!.address() as AddressInfo;
  const full = { host: "127.0.0.1", port, cert: client.cert, key: client.key, ca: authority.cert, ...target };
  const http = new HttpClient(full, { keepAlive: false });
  try {
    return await http.readText(await http.send({ method: "GET", path: "/", signal }), 1000, signal);
  } finally {
    http.close();
  }
}

describe("over TLS", () => {
  test("shows our certificate to a server that the authority vouches for", async () => {
    expect(await fetchText("named", {})).toBe("client");
  });

  test("takes the very certificate that was agreed on, whatever its name and issuer", async () => {
    expect(await fetchText("nameless", { ca: nameless.cert })).toBe("client");
    expect(await fetchText("alone", { ca: alone.cert })).toBe("client");
  });

  test.each([
    ["of another name", "nameless", authority.cert],
    ["of another authority, though it is called the same", "named", stranger.cert],
    ["that signed itself", "alone", authority.cert],
    ["other than the one agreed on", "named", alone.cert],
    ["of the right authority instead of the one agreed on", "named", nameless.cert],
    ["that has ended", "ended", authority.cert],
    ["that has ended, though it is the one agreed on", "ended", ended.cert],
  ])("refuses a certificate %s, before anything is sent", async (_what, server, ca) => {
    const before = reached.length;
    const error = { code: "endpoint_refused", detail: [expect.objectContaining({ nearest: expect.any(String) })] };
    await expect(fetchText(server, { ca })).rejects.toMatchObject(error);
    expect(reached.length).toBe(before);
  });

  test("nobody there is endpoint_unreachable", async () => {
    await expect(fetchText("named", { port: 1 })).rejects.toMatchObject({ code: "endpoint_unreachable" });
  });
});
