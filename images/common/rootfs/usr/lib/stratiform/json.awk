# Flattens one JSON text into lines "path<TAB>value", for example "tiers.node.0.name<TAB>node-0". POSIX awk, so that it runs in
# busybox as well as in mawk. In values, backslash, newline and tab are written as \\, \n and \t, so a line is always one value.
# Exits with 1 and says where on standard error when the text is not JSON: a cut-off context must not be applied.
function fail(what) { print "context is not JSON: " what " at character " pos > "/dev/stderr"; failed = 1; exit 1 }
function peek() { return substr(text, pos, 1) }
function skip_blanks() { while (pos <= size && index(" \t\r\n", peek()) > 0) pos++ }
function expect(word) { if (substr(text, pos, length(word)) != word) fail("expected " word); pos += length(word) }
function hex_value(digits,    i, value, digit) {
  value = 0
  for (i = 1; i <= 4; i++) {
    digit = index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    if (digit < 0 || length(digits) != 4) fail("bad \\u escape")
    value = value * 16 + digit
  }
  return value
}
# Bytes are made with printf %c only below 128 or in the C locale; every script that calls this sets LC_ALL=C.
function utf8(code) {
  if (code < 128) return sprintf("%c", code)
  if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
  if (code < 65536) return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
  return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
}
function parse_unicode(    code, low) {
  code = hex_value(substr(text, pos, 4)); pos += 4
  if (code == 0) fail("NUL in a string")
  if (code >= 55296 && code <= 56319 && substr(text, pos, 2) == "\\u") {
    low = hex_value(substr(text, pos + 2, 4)); pos += 6
    code = 65536 + (code - 55296) * 1024 + (low - 56320)
  }
  return code
}
# Returns the string with the three characters that would break a line kept escaped.
function parse_string(    out, c, code) {
  expect("\""); out = ""
  while (1) {
    if (pos > size) fail("string without end")
    c = peek(); pos++
    if (c == "\"") return out
    if (c != "\\") { out = out c; continue }
    c = peek(); pos++
    if (c == "n") out = out "\\n"
    else if (c == "t") out = out "\\t"
    else if (c == "\\") out = out "\\\\"
    else if (c == "\"" || c == "/") out = out c
    else if (c == "r") out = out "\r"
    else if (c == "b") out = out "\b"
    else if (c == "f") out = out "\f"
    else if (c == "u") {
      code = parse_unicode()
      if (code == 10) out = out "\\n"; else if (code == 9) out = out "\\t"; else if (code == 92) out = out "\\\\"; else out = out utf8(code)
    } else fail("bad escape")
  }
}
function join(path, key) { return path == "" ? key : path "." key }
function parse_object(path,    key) {
  expect("{"); skip_blanks()
  if (peek() == "}") { pos++; return }
  while (1) {
    skip_blanks(); key = parse_string(); skip_blanks(); expect(":")
    parse_value(join(path, key)); skip_blanks()
    if (peek() == "}") { pos++; return }
    expect(",")
  }
}
function parse_array(path,    i) {
  expect("["); skip_blanks()
  if (peek() == "]") { pos++; return }
  for (i = 0; ; i++) {
    parse_value(join(path, i)); skip_blanks()
    if (peek() == "]") { pos++; return }
    expect(",")
  }
}
function parse_value(path,    c) {
  skip_blanks(); c = peek()
  if (c == "{") parse_object(path)
  else if (c == "[") parse_array(path)
  else if (c == "\"") print path "\t" parse_string()
  else if (c == "t") { expect("true"); print path "\ttrue" }
  else if (c == "f") { expect("false"); print path "\tfalse" }
  else if (c == "n") { expect("null"); print path "\t" }
  else if (match(substr(text, pos, 40), /^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?/)) { c = substr(text, pos, RLENGTH); pos += RLENGTH; print path "\t" c }
  else fail("expected a value")
}
{ text = text $0 "\n" }
END {
  if (failed) exit 1
  size = length(text); pos = 1
  parse_value(""); skip_blanks()
  if (pos <= size) fail("text after the end")
}
