#!/bin/sh
# Fetches the upstream's page by name, with the token, and wraps it. The token goes through a pipe, never into an argument.
respond() { printf 'Status: %s\r\nContent-Type: text/plain\r\n\r\n%s\n' "$1" "$2"; exit 0; }
[ -r /run/site/token ] || respond "503 Service Unavailable" "not configured yet"
IFS= read -r token < /run/site/token || [ -n "$token" ]
. /run/site/facts
answer=$(printf 'GET / HTTP/1.0\r\nHost: %s\r\nX-Token: %s\r\n\r\n' "$upstream" "$token" | nc -w 5 "$upstream" 80 2>/dev/null | tr -d '\r')
case $answer in
  "HTTP/1."?" 200"*) ;;
  *) respond "502 Bad Gateway" "$name: no page from $upstream" ;;
esac
respond "200 OK" "$name says: ${answer#*

}"
