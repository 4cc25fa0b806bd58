import fc from "fast-check";
import { expect, test } from "vitest";
import { XdrError, XdrReader, XdrWriter } from "#lib/xdr.ts";

const field = fc.oneof(
  fc.record({ kind: fc.constant("int" as const), value: fc.integer() }),
  fc.record({ kind: fc.constant("uint" as const), value: fc.integer({ min: 0, max: 0xffffffff }) }),
  fc.record({ kind: fc.constant("hyper" as const), value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
  fc.record({ kind: fc.constant("uhyper" as const), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
  fc.record({ kind: fc.constant("bool" as const), value: fc.boolean() }),
  fc.record({ kind: fc.constant("string" as const), value: fc.string({ unit: "grapheme" }) }),
  fc.record({ kind: fc.constant("optionalString" as const), value: fc.option(fc.string()) }),
  fc.record({ kind: fc.constant("bytes" as const), value: fc.uint8Array() }),
  fc.record({ kind: fc.constant("opaque" as const), value: fc.uint8Array() }),
);
type Field = typeof field extends fc.Arbitrary<infer T> ? T : never;

function write(writer: XdrWriter, { kind, value }: Field): void {
  switch (kind) {
    case "int":
      writer.int(value);
      break;
    case "uint":
      writer.uint(value);
      break;
    case "hyper":
      writer.hyper(value);
      break;
    case "uhyper":
      writer.uhyper(value);
      break;
    case "bool":
      writer.bool(value);
      break;
    case "string":
      writer.string(value);
      break;
    case "optionalString":
      writer.optionalString(value);
      break;
    case "bytes":
      writer.bytes(value);
      break;
    case "opaque":
      writer.opaque(value);
      break;
  }
}

function read(reader: XdrReader, { kind, value }: Field): unknown {
  if (kind === "opaque") return new Uint8Array(reader.opaque(value.length));
  if (kind === "bytes") return new Uint8Array(reader.bytes());
  return reader[kind]();
}

test("whatever is written is read back, aligned to four bytes, with nothing left over", () => {
  fc.assert(
    fc.property(fc.array(field), (fields) => {
      const writer = new XdrWriter();
      for (const one of fields) write(writer, one);
      const bytes = writer.toBuffer();
      expect(bytes.length % 4).toBe(0);
      const reader = new XdrReader(bytes);
      for (const one of fields) expect(read(reader, one)).toEqual(one.value);
      expect(reader.remainingBytes).toBe(0);
    }),
  );
});

test("random bytes never read beyond the message: a value or an XdrError, nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const reader = new XdrReader(Buffer.from(bytes));
      try {
        reader.array((r) => r.optionalString());
        expect(reader.remainingBytes).toBeGreaterThanOrEqual(0);
      } catch (error) {
        expect(error).toBeInstanceOf(XdrError);
      }
    }),
  );
});

test("the encoding is the one of RFC 4506", () => {
  const bytes = new XdrWriter().string("sillyprog").int(-2).optionalString(null).bool(true).toBuffer();
  expect(bytes.toString("hex")).toBe("0000000973696c6c7970726f67000000" + "fffffffe" + "00000000" + "00000001");
});

test("a length that promises more than there is is refused before anything is allocated", () => {
  expect(() => new XdrReader(Buffer.from("ffffffff", "hex")).bytes()).toThrow(XdrError);
  expect(() => new XdrReader(Buffer.from("ffffffff00000000", "hex")).array((r) => r.int())).toThrow(XdrError);
});
