{{- define "coatcheck.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "coatcheck.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "coatcheck.labels" -}}
{{ include "coatcheck.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "coatcheck.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Where coatcheck is inside the cluster. */}}
{{- define "coatcheck.host" -}}
{{ include "coatcheck.name" . }}.{{ .Release.Namespace }}.svc.cluster.local
{{- end }}

{{/* coatcheck.yaml: what the chart knows, then what the user wrote. */}}
{{- define "coatcheck.config" -}}
{{- $own := list "listen" "store" "keys" "shutdown" }}
{{- range $own }}
{{- if hasKey $.Values.config . }}{{ fail (printf "config.%s is written by the chart: use the values redis, secrets, shutdown" .) }}{{ end }}
{{- end -}}
listen: { grpc: "0.0.0.0:9001", http: "0.0.0.0:9002", admin: "0.0.0.0:9003" }
store:
  kind: redis
  url: {{ .Values.redis.url | quote }}
  prefix: {{ .Values.redis.prefix | quote }}
  {{- with .Values.redis.username }}
  username: {{ . | quote }}
  {{- end }}
  {{- with .Values.secrets.redisPassword }}
  password_file: /secrets/{{ . }}
  {{- end }}
  {{- if .Values.redis.tls.existingSecret }}
  tls:
    ca_file: /secrets/redis-ca
    {{- if .Values.redis.tls.clientCertificate }}
    cert_file: /secrets/redis-cert
    key_file: /secrets/redis-key
    {{- end }}
  {{- end }}
keys:
  {{- range .Values.secrets.serverKeys }}
  - { id: {{ .id }}, file: /secrets/{{ .name }} }
  {{- end }}
shutdown: { drain_delay: {{ .Values.shutdown.drainDelaySeconds }}s, timeout: {{ .Values.shutdown.timeoutSeconds }}s }
{{ toYaml .Values.config }}
{{- end }}

{{/* The host names of an app's origins, one a line. */}}
{{- define "coatcheck.hosts" -}}
{{- range (kindIs "slice" .origin | ternary .origin (list .origin)) }}
{{ (urlParse .).hostname }}
{{- end }}
{{- end }}

{{/* The login prefix of an app whose login paths need a route; empty for the others. */}}
{{- define "coatcheck.routed" -}}
{{- $login := .login | default dict -}}
{{- if ne ($login.mode | default "routed") "in_band" }}{{ $login.prefix | default "/auth" }}{{ end -}}
{{- end }}

{{/* An app that a route names must exist. */}}
{{- define "coatcheck.knownApp" -}}
{{- $names := list }}
{{- range .apps }}{{ $names = append $names .name }}{{ end }}
{{- if not (has .app $names) }}{{ fail (printf "%s: no app %q in config.apps; there are: %s" .where .app (join ", " $names)) }}{{ end }}
{{- end }}
