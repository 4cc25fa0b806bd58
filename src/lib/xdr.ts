/**
 * XDR (RFC 4506), the encoding of ONC RPC and of libvirt's protocol: big-endian, everything padded to four bytes.
 * The reader trusts nothing: every length is checked against what is really there before anything is allocated.
 */

/** A message that does not follow its own encoding. The connection it came from cannot be trusted any more. */
export class XdrError extends Error {
  override readonly name = "XdrError";
}

const paddingBytes = (length: number): number => (4 - (length % 4)) % 4;

export class XdrWriter {
  readonly #parts: Buffer[] = [];

  int(value: number): this {
    const part = Buffer.alloc(4);
    part.writeInt32BE(value);
    return this.#add(part);
  }

  uint(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32BE(value);
    return this.#add(part);
  }

  hyper(value: bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigInt64BE(value);
    return this.#add(part);
  }

  uhyper(value: bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64BE(value);
    return this.#add(part);
  }

  bool(value: boolean): this {
    return this.uint(value ? 1 : 0);
  }

  /** Fixed length: no length word, the reader knows it. */
  opaque(bytes: Uint8Array): this {
    this.#add(Buffer.from(bytes));
    return this.#add(Buffer.alloc(paddingBytes(bytes.length)));
  }

  /** Variable length. */
  bytes(bytes: Uint8Array): this {
    return this.uint(bytes.length).opaque(bytes);
  }

  string(text: string): this {
    return this.bytes(Buffer.from(text, "utf8"));
  }

  /** XDR's pointer: a flag, and the value when there is one. */
  optional<T>(value: T | null, write: (writer: this, value: T) => void): this {
    this.bool(value !== null);
    if (value !== null) write(this, value);
    return this;
  }

  optionalString(text: string | null): this {
    return this.optional(text, (writer, value) => writer.string(value));
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #add(part: Buffer): this {
    this.#parts.push(part);
    return this;
  }
}

export class XdrReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get remainingBytes(): number {
    return this.#bytes.length - this.#offset;
  }

  int(): number {
    return this.#take(4).readInt32BE();
  }

  uint(): number {
    return this.#take(4).readUInt32BE();
  }

  hyper(): bigint {
    return this.#take(8).readBigInt64BE();
  }

  uhyper(): bigint {
    return this.#take(8).readBigUInt64BE();
  }

  bool(): boolean {
    const value = this.uint();
    if (value > 1) throw new XdrError(`a boolean is 0 or 1, not ${value}`);
    return value === 1;
  }

  opaque(length: number): Buffer {
    const value = this.#take(length);
    this.#take(paddingBytes(length));
    return value;
  }

  bytes(): Buffer {
    return this.opaque(this.uint());
  }

  string(): string {
    return this.bytes().toString("utf8");
  }

  optional<T>(read: (reader: this) => T): T | null {
    return this.bool() ? read(this) : null;
  }

  optionalString(): string | null {
    return this.optional((reader) => reader.string());
  }

  /** Variable-length array. Every element takes at least four bytes, which bounds the count before anything is allocated. */
  array<T>(read: (reader: this) => T): T[] {
    const count = this.uint();
    if (count * 4 > this.remainingBytes) throw new XdrError(`an array of ${count} elements cannot fit into ${this.remainingBytes} bytes`);
    const values: T[] = [];
    for (let i = 0; i < count; i++) values.push(read(this));
    return values;
  }

  #take(length: number): Buffer {
    if (length > this.remainingBytes) throw new XdrError(`${length} bytes wanted, ${this.remainingBytes} left`);
    const value = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return value;
  }
}
