{{- /* What a replica is, wherever it runs; `names` are those of its volumes. */ -}}
{{- define "portcullis.container" -}}
{{- $image := .root.Values.image -}}
image: {{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end }}
imagePullPolicy: {{ $image.pullPolicy }}
args:
- run
- --resource=$(ROLLOUT)
- --peer-token=file:/etc/portcullis/peer-token
- --data=/var/lib/portcullis
{{- with .root.Values.extraArgs }}
{{- toYaml . | nindent 0 }}
{{- end }}
env:
- name: ROLLOUT
  value: {{ include "portcullis.rollout" .root }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- with .root.Values.log }}
- name: RUST_LOG
  value: {{ . | quote }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{- toYaml . | nindent 0 }}
{{- end }}
ports:
- name: proxy
  containerPort: {{ .root.Values.ports.proxy }}
- name: admin
  containerPort: {{ .root.Values.ports.admin }}
startupProbe:
  httpGet: { path: {{ .startup }}, port: admin }
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- with .root.Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
- name: {{ .volumes }}tokens
  mountPath: /etc/portcullis
  readOnly: true
- name: {{ .volumes }}journal
  mountPath: /var/lib/portcullis
{{- end -}}

{{- define "portcullis.volumes" -}}
- name: {{ .volumes }}tokens
  secret:
    secretName: {{ include "portcullis.tokens" .root }}
    {{- /* Nobody else in the pod mounts it, and beside an app the pod's group is the app's. */}}
    defaultMode: {{ .mode }}
- name: {{ .volumes }}journal
  emptyDir:
    sizeLimit: {{ .root.Values.journal.sizeLimit }}
{{- end -}}

{{- /* For the chart of an app, among its `initContainers`: {{ include "portcullis.sidecar" .Subcharts.portcullis }} */ -}}
{{- define "portcullis.sidecar" -}}
- name: portcullis
  restartPolicy: Always
  {{- include "portcullis.container" (dict "root" . "volumes" "portcullis-" "startup" "/readyz") | nindent 2 }}
  - name: portcullis-account
    mountPath: /var/run/secrets/kubernetes.io/serviceaccount
    readOnly: true
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  # From here on clients are asked to reconnect, so that none is left when the app ends.
  lifecycle:
    preStop:
      exec:
        command: [/usr/local/bin/portcullis, leave]
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
{{- end -}}

{{- /* Among its `volumes`. The pod needs `automountServiceAccountToken: false`, so that the token is the sidecar's alone. */ -}}
{{- define "portcullis.sidecar.volumes" -}}
{{ include "portcullis.volumes" (dict "root" . "volumes" "portcullis-" "mode" "0444") }}
- name: portcullis-account
  projected:
    defaultMode: 0444
    sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3607
    - configMap:
        name: kube-root-ca.crt
        items:
        - { key: ca.crt, path: ca.crt }
    - downwardAPI:
        items:
        - path: namespace
          fieldRef:
            fieldPath: metadata.namespace
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
