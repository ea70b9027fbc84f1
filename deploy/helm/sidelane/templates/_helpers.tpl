{{/* Labels of an object; call with (dict "root" $ "component" "control"). */}}
{{- define "sidelane.labels" -}}
{{ include "sidelane.selector" . }}
app.kubernetes.io/part-of: sidelane
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* Never changes: a Deployment's selector is immutable. */}}
{{- define "sidelane.selector" -}}
app.kubernetes.io/name: sidelane
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sidelane.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* What Pod Security's level "restricted" asks of a pod, and its user; call with the root. */}}
{{- define "sidelane.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.pods.userId }}
runAsUser: {{ . | int }}
runAsGroup: {{ . | int }}
fsGroup: {{ . | int }}
{{- end }}
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{/* The same of a container. */}}
{{- define "sidelane.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* What the three Deployments have in common, up to their pods; call with (dict "root" $ "component" "control" "config" TEXT). */}}
{{- define "sidelane.deployment" -}}
{{- $own := index .root.Values .component -}}
replicas: {{ $own.replicas }}
revisionHistoryLimit: 3
strategy:
  rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
selector:
  matchLabels: {{- include "sidelane.selector" . | nindent 4 }}
{{- end }}

{{- define "sidelane.podMetadata" -}}
{{- $own := index .root.Values .component -}}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  sidelane.dev/config-hash: {{ .config | sha256sum | trunc 16 }}
  {{- if .root.Values.metrics.annotations }}
  prometheus.io/scrape: "true"
  prometheus.io/scheme: {{ .scheme }}
  prometheus.io/port: {{ .port | quote }}
  prometheus.io/path: /metrics
  {{- end }}
  {{- with $own.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- include "sidelane.labels" . | nindent 2 }}
  {{- with $own.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Where pods go, and with what rights. */}}
{{- define "sidelane.podSpec" -}}
{{- $own := index .root.Values .component -}}
serviceAccountName: sidelane-{{ .component }}
securityContext: {{- include "sidelane.podSecurity" .root | nindent 2 }}
terminationGracePeriodSeconds: {{ $own.terminationGracePeriodSeconds }}
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if $own.topologySpreadConstraints }}
  {{- toYaml $own.topologySpreadConstraints | nindent 2 }}
{{- else }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "sidelane.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Image, rights and size of a role's container. */}}
{{- define "sidelane.container" -}}
{{- $own := index .root.Values .component -}}
name: {{ .component }}
image: {{ include "sidelane.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [{{ .component }}, --config, /etc/sidelane/config/{{ .component }}.yaml]
securityContext: {{- include "sidelane.containerSecurity" . | nindent 2 }}
resources: {{- toYaml $own.resources | nindent 2 }}
{{- end }}

{{/* The token that is shown to the control plane. */}}
{{- define "sidelane.tokenVolume" -}}
name: token
projected:
  sources:
    - serviceAccountToken: { audience: sidelane, expirationSeconds: 3600, path: token }
{{- end }}

{{/* Keys are named, so that a pod waits for a Secret that is still empty instead of starting without certificate. */}}
{{- define "sidelane.certificateVolume" -}}
name: certificate
secret:
  secretName: sidelane-{{ .component }}-tls
  items:
    - { key: tls.crt, path: tls.crt }
    - { key: tls.key, path: tls.key }
    {{- if eq .component "control" }}
    # By which replicas know each other.
    - { key: ca.crt, path: ca.crt }
    {{- end }}
{{- end }}

{{/* The config files; what the user gives in `config` goes before. */}}
{{- define "sidelane.controlConfig" -}}
{{- with .Values.control.connectPorts -}}
{{- if gt (int .first) (int .last) -}}
{{- fail (printf "control.connectPorts: first (%v) is after last (%v); write the smaller one first" .first .last) -}}
{{- end -}}
{{- end -}}
{{- $tls := dict "certificate" "/etc/sidelane/tls/tls.crt" "key" "/etc/sidelane/tls/tls.key" -}}
{{- $roles := list (dict "name" (printf "system:serviceaccount:%s:sidelane-operator" .Release.Namespace) "role" "editor") -}}
{{- if .Values.control.auth.developerAccount -}}
{{- $roles = append $roles (dict "name" (printf "system:serviceaccount:%s:sidelane-developer" .Release.Namespace) "role" "editor") -}}
{{- end -}}
{{- $roles = concat $roles .Values.control.auth.roles (list (dict "name" "system:serviceaccount:*:*" "role" "sidecar")) -}}
{{- $made := dict
  "store" (printf "kubernetes://%s" .Release.Namespace)
  "api" (dict "address" (printf "%s:15020" .Values.network.listen) "tls" $tls)
  "feed" (dict "address" (printf "%s:15021" .Values.network.listen) "tls" $tls)
  "auth" (dict "kubernetes" (dict "audience" "sidelane" "roles" $roles))
  "replicas" (dict "ca" "/etc/sidelane/tls/ca.crt")
  "connect" (dict "ports" (printf "%v-%v" .Values.control.connectPorts.first .Values.control.connectPorts.last))
  "log" (dict "level" .Values.control.logLevel) -}}
{{- mergeOverwrite $made (deepCopy .Values.control.config) | toYaml -}}
{{- end }}

{{- define "sidelane.webhookConfig" -}}
{{- $sidecar := .Values.sidecar -}}
{{- $shared := dict
  "image" ($sidecar.image | default (include "sidelane.image" .))
  "imagePullPolicy" .Values.image.pullPolicy
  "imagePullSecrets" .Values.image.pullSecrets
  "logLevel" $sidecar.logLevel
  "interception" $sidecar.interception
  "nativeSidecar" $sidecar.nativeSidecar
  "onUnknownKey" $sidecar.onUnknownKey
  "onUnavailable" $sidecar.onUnavailable
  "excludeInboundPorts" $sidecar.excludeInboundPorts
  "excludeInboundRanges" $sidecar.excludeInboundRanges
  "excludeOutboundRanges" $sidecar.excludeOutboundRanges
  "scrape" .Values.metrics.annotations
  "control" (printf "sidelane-control.%s.svc:15021" .Release.Namespace) -}}
{{- range $kind, $amounts := dict "Request" $sidecar.resources.requests "Limit" $sidecar.resources.limits -}}
{{- range $resource, $amount := $amounts -}}
{{- $_ := set $shared (printf "%s%s" $resource $kind) (toString $amount) -}}
{{- end -}}
{{- end -}}
{{- $made := dict
  "address" (printf "%s:15443" .Values.network.listen)
  "tls" (dict "certificate" "/etc/sidelane/tls/tls.crt" "key" "/etc/sidelane/tls/tls.key")
  "admin" (dict "address" (printf "%s:15030" .Values.network.listen))
  "namespace" .Release.Namespace
  "sidecar" $shared
  "log" (dict "level" .Values.webhook.logLevel) -}}
{{- mergeOverwrite $made (deepCopy .Values.webhook.config) | toYaml -}}
{{- end }}

{{- define "sidelane.operatorConfig" -}}
{{- $made := dict
  "control" (dict
    "url" (printf "https://sidelane-control.%s.svc:15020" .Release.Namespace)
    "tokenFile" "/var/run/secrets/sidelane/token")
  "admin" (dict "address" (printf "%s:15030" .Values.network.listen))
  "namespace" .Release.Namespace
  "clusterDomain" .Values.network.clusterDomain
  "certificates" (ternary "operator" "external" (eq .Values.certificates.issuer "operator"))
  "log" (dict "level" .Values.operator.logLevel) -}}
{{- mergeOverwrite $made (deepCopy .Values.operator.config) | toYaml -}}
{{- end }}
