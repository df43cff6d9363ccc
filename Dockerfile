# The image: one static binary, the public CA roots, nothing else; no shell, no user that could write.
#
#   docker build -t REGISTRY/coatcheck:0.1.0 .
#
# Base images are pinned by exact tag. To pin them by content too, put what `docker buildx imagetools inspect IMAGE` calls the digest
# behind the tag (rust:TAG@sha256:...).

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY rust-toolchain.toml Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY src src
COPY benches benches
COPY k8s/image/build.sh k8s/image/build.sh
RUN k8s/image/build.sh /coatcheck

FROM scratch
# Calls to the OpenID provider trust these, unless providers[].ca_file adds another root. (Redis over TLS trusts roots inside the binary.)
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /coatcheck /coatcheck
USER 65532:65532
EXPOSE 9001 9002 9003
ENTRYPOINT ["/coatcheck"]
CMD ["serve", "-c", "/etc/coatcheck/coatcheck.yaml"]
