#!/usr/bin/env bash
# UNRUN: no cluster with replicas has been at hand. What it is to show: a ClickHouse replica that dies under load costs
# no hit and doubles none.
#
#   k8s/replica-failover.sh SITE-DOMAIN URL
#
# SITE-DOMAIN is a site of its own for this, URL where hits go (https://stats.example.com). Needs kubectl with rights on
# the namespace, and curl. It sends page views for two minutes, kills replica 1 of shard 0 after half a minute, and in the
# end compares what was answered with what is stored, and has `footfall audit` check the books.
set -euo pipefail

domain=$1
url=${2%/}
namespace=${FOOTFALL_NAMESPACE:-footfall}
replica=${FOOTFALL_REPLICA:-chi-footfall-footfall-0-1-0}
seconds=120
run="failover-$(date -u +%Y%m%dT%H%M%SZ)"

footfall() { kubectl -n "$namespace" exec deploy/footfall-web -- footfall "$@"; }
stored() { footfall count --site "$domain" | awk 'END { print $1 }'; }

before=$(stored)
answered=0
unanswered=0
killed=no
end=$((SECONDS + seconds))
while [ "$SECONDS" -lt "$end" ]; do
  status=$(curl -s -o /dev/null -w '%{http_code}' -A 'Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0' \
    -H 'Content-Type: text/plain' --data "{\"n\":\"pageview\",\"u\":\"https://$domain/$run/$SECONDS\",\"d\":\"$domain\"}" \
    "$url/api/event" || true)
  case $status in
    202) answered=$((answered + 1)) ;;
    000) unanswered=$((unanswered + 1)) ;; # may be stored, at most once
  esac
  if [ "$killed" = no ] && [ "$SECONDS" -gt $((end - seconds + 30)) ]; then
    kubectl -n "$namespace" delete pod "$replica" --grace-period=0 --force
    killed=yes
  fi
done

# Retries back off for up to 30 s; the segment's own age comes on top.
for _ in $(seq 60); do
  after=$(stored)
  if [ $((after - before)) -ge "$answered" ]; then break; fi
  sleep 5
done
echo "answered $answered, unanswered $unanswered, stored $((after - before)), $replica killed: $killed"
footfall audit
[ $((after - before)) -ge "$answered" ] && [ $((after - before)) -le $((answered + unanswered)) ]
