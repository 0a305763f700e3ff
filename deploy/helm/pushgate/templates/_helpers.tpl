{{/* The name of everything: the release's, with the chart's where that does not say it. */}}
{{- define "pushgate.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "pushgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pushgate.labels" -}}
{{ include "pushgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* Whether the nodes bring a NATS cluster along: one alone has none. */}}
{{- define "pushgate.clustered" -}}
{{- if and .Values.cluster.embedded (gt (int .Values.replicas) 1) }}true{{ end -}}
{{- end -}}

{{/* What `cluster.nodes` says: where each pod is, whether it is ready or not. */}}
{{- define "pushgate.nodes" -}}
{{- $name := include "pushgate.name" . -}}
{{- $nodes := list -}}
{{- range $number := until (int .Values.replicas) -}}
{{- $nodes = append $nodes (printf "%s-%d.%s-nodes.%s.svc" $name $number $name $.Release.Namespace) -}}
{{- end -}}
{{ join "," $nodes }}
{{- end -}}
