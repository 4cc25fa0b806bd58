/**
 * Secrets at rest: AES-256-GCM under a key file outside the database. The nonce and tag travel with the ciphertext; the secret's
 * place (vApp and name) is authenticated, so a row copied elsewhere does not open.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { AppError } from "#domain/error.ts";

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

export class SecretBox {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    if (key.length !== keyBytes)
      throw new AppError("internal", "the secret key file is damaged", { internal: `expected ${keyBytes} bytes, found ${key.length}` });
    this.#key = key;
  }

  /** Reads the key file, making it (0600) when it is missing. */
  static fromFile(path: string): SecretBox {
    try {
      // `wx`: two processes starting at once agree on the first one's key.
      writeFileSync(path, randomBytes(keyBytes), { mode: 0o600, flag: "wx" });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
    }
    return new SecretBox(readFileSync(path));
  }

  seal(place: string, value: string): Buffer {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce).setAAD(Buffer.from(place));
    const body = Buffer.concat([cipher.update(value, "utf8"), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), body]);
  }

  open(place: string, sealed: Buffer): string {
    const decipher = createDecipheriv("aes-256-gcm", this.#key, sealed.subarray(0, nonceBytes)).setAAD(Buffer.from(place));
    decipher.setAuthTag(sealed.subarray(nonceBytes, nonceBytes + tagBytes));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(nonceBytes + tagBytes)), decipher.final()]).toString("utf8");
    } catch (cause) {
      throw new AppError("internal", "a secret cannot be opened with this installation's key", { cause, internal: place });
    }
  }

  /** A fresh secret of `bytes` random bytes, base64url. */
  generate(bytes: number): string {
    return randomBytes(bytes).toString("base64url");
  }
}

/** Place of a vApp's secret. */
export function secretPlace(vappId: string, name: string): string {
  return `vapp/${vappId}/${name}`;
}
