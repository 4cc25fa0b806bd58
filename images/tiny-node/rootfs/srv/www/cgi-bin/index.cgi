#!/bin/sh
# The page: only for those who carry the token of this vApp.
respond() { printf 'Status: %s\r\nContent-Type: text/plain\r\n\r\n%s\n' "$1" "$2"; exit 0; }
[ -r /run/site/token ] || respond "503 Service Unavailable" "not configured yet"
IFS= read -r token < /run/site/token || [ -n "$token" ]
[ "${HTTP_X_TOKEN-}" = "$token" ] || respond "403 Forbidden" "the token is missing or wrong"
. /run/site/facts
respond "200 OK" "page of $name, generation $generation"
