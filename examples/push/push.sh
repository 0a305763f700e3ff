#!/bin/sh
# Pushes to a user with curl: ./push.sh USER ORDER, with PUSHGATE_KEY and, where it is elsewhere, PUSHGATE_API set.
set -eu
api=${PUSHGATE_API:-http://127.0.0.1:8001}
user=$1 order=$2
case $user$order in *[\"\\]*) echo "no quotes and backslashes, please: this script writes JSON by hand" >&2; exit 2 ;; esac
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# Push once. The answer is in $answer; prints the status (000: there was none) and what Retry-After says.
push() {
  curl --silent --max-time 10 --output "$answer" --write-out '%{http_code} %header{retry-after}' "$api/v1/push" \
    --header "Authorization: Bearer $PUSHGATE_KEY" --header 'Content-Type: application/json' --data "$1" || true
}

# Push until it is stored. Repeating is safe for two minutes, because of the id in the body.
push_reliably() {
  wait=1
  until=$(($(date +%s) + 90))
  while :; do
    result=$(push "$1")
    status=${result%% *} retry_after=${result#* }
    case $status in
      202) return ;;
      000 | 429 | 5??) ;; # not taken, or nobody knows: again
      *) return 1 ;;
    esac
    pause=${retry_after:-$wait}
    [ $(($(date +%s) + pause)) -lt $until ] || return 1
    sleep "$pause"
    wait=$((wait < 16 ? wait * 2 : wait))
  done
}

# Live: for who is there now. It is not repeated, since a moment later it is worth nothing.
push '{"user": "'"$user"'", "event": "packing", "data": {"order": "'"$order"'"}}' >/dev/null
cat "$answer"
echo

# Reliable: kept until every device of the user has it, or its ttl (in seconds) is over.
failed=0
push_reliably '{"user": "'"$user"'", "event": "paid", "data": {"order": "'"$order"'"},
  "qos": "reliable", "ttl": 86400, "id": "order-'"$order"'-paid"}' || failed=1
cat "$answer"
echo
exit $failed
