{{- define "portcullis.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "portcullis.rollout" -}}
{{- default .Release.Name .Values.rollout.name -}}
{{- end -}}

{{- define "portcullis.serviceAccount" -}}
{{- default (include "portcullis.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "portcullis.tokens" -}}
{{- default (include "portcullis.fullname" .) .Values.tokens.secret -}}
{{- end -}}

{{- define "portcullis.labels" -}}
app.kubernetes.io/name: portcullis
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* By which the replicas are found. */ -}}
{{- define "portcullis.selector" -}}
portcullis.dev/rollout: {{ include "portcullis.rollout" . }}
{{- end -}}

{{- /* Seconds, rounded up, of a time as the configuration writes it. */ -}}
{{- define "portcullis.seconds" -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $number := int64 (regexFind "^[0-9]+" .) -}}
{{- if eq $unit "ms" -}}{{ divf (float64 $number) 1000 | ceil | int64 }}
{{- else -}}{{ mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) }}
{{- end -}}
{{- end -}}

{{- /* What the values have to agree on. */ -}}
{{- define "portcullis.check" -}}
{{- if .Values.rollout.create -}}
{{- $spec := .Values.rollout.spec -}}
{{- range $key, $said := dict "listen" (dig "listen" "" $spec) "admin.listen" (dig "admin" "listen" "" $spec) -}}
{{- $port := get (dict "listen" $.Values.ports.proxy "admin.listen" $.Values.ports.admin) $key -}}
{{- if not (hasSuffix (printf ":%v" $port) $said) -}}
{{- fail (printf "rollout.spec.%s: `%s` is not at port %v, which `ports` has for it: change one of them" $key $said $port) -}}
{{- end -}}
{{- end -}}
{{- $wait := include "portcullis.seconds" (dig "drain" "wait" "2s" $spec) -}}
{{- $deadline := include "portcullis.seconds" (dig "drain" "deadline" "30s" $spec) -}}
{{- $least := add (int64 $wait) (int64 $deadline) -}}
{{- if le (int64 .Values.terminationGracePeriodSeconds) $least -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is not above drain.wait and drain.deadline together, %d s: requests that are still running would be killed" .Values.terminationGracePeriodSeconds $least) -}}
{{- end -}}
{{- end -}}
{{- end -}}
