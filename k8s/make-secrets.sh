#!/usr/bin/env bash
# Makes what the Secrets of k8s/ hold, and says how to put it into the cluster. With a secret manager or cert-manager, use those instead:
# the names of Secrets and files are what counts. Needs openssl; overwrites nothing.
#
#   k8s/make-secrets.sh FOLDER [NAMESPACE]        NAMESPACE: where coatcheck and Redis will run, `coatcheck` if left out
set -euo pipefail
umask 077

folder=${1:?usage: k8s/make-secrets.sh FOLDER [NAMESPACE]}
namespace=${2:-coatcheck}
acl=$(dirname "${BASH_SOURCE[0]}")/components/redis/users.acl
mkdir -p "$folder"
[ ! -e "$folder/key-1" ] || { echo "$folder/key-1 is there already: choose another folder" >&2; exit 1; }

# Wherever the folder is, nothing in it is to be committed.
[ -e "$folder/.gitignore" ] || echo '*' >"$folder/.gitignore"

# The server key: 32 random bytes in base64url, as `coatcheck keygen` prints them.
openssl rand -base64 32 | tr '+/' '-_' | tr -d '=' >"$folder/key-1"

# The password of the ACL user, and the ACL file with its hash.
openssl rand -hex 32 | tr -d '\n' >"$folder/redis"
hash=$(openssl dgst -sha256 -r "$folder/redis" | cut -d ' ' -f 1)
sed "s/#PASSWORD_SHA256/#$hash/" "$acl" >"$folder/users.acl"

# An authority of its own, and Redis's certificate, for two years.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 730 -subj "/CN=redis of coatcheck" \
  -keyout "$folder/ca.key" -out "$folder/ca.crt" 2>"$folder/openssl.log"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=redis" \
  -keyout "$folder/tls.key" -out "$folder/tls.csr" 2>>"$folder/openssl.log"
names="DNS:redis,DNS:redis.$namespace,DNS:redis.$namespace.svc,DNS:redis.$namespace.svc.cluster.local,DNS:localhost,IP:127.0.0.1"
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names" >"$folder/tls.ext"
openssl x509 -req -in "$folder/tls.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
  -days 730 -extfile "$folder/tls.ext" -out "$folder/tls.crt" 2>>"$folder/openssl.log"
rm "$folder/tls.csr" "$folder/tls.ext" "$folder/openssl.log" "$folder/ca.key" # nothing else is ever signed by it

cat <<END
Write the client secret that the OpenID provider gave you into $folder/client (no line end needed), then:

  kubectl -n $namespace create secret generic coatcheck-secrets --from-file=$folder/key-1 --from-file=$folder/redis --from-file=$folder/client
  kubectl -n $namespace create secret generic coatcheck-redis-acl --from-file=$folder/users.acl
  kubectl -n $namespace create secret generic coatcheck-redis-tls --from-file=$folder/tls.crt --from-file=$folder/tls.key --from-file=$folder/ca.crt

and keep key-1 where you keep secrets: who loses it signs everybody out.
END
