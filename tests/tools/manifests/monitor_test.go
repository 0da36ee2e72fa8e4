package manifests

import (
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

// The operator's own types stand for its schema, which is part of no module that is to be had.
func TestTheServiceMonitorHasOnlyKeysThatTheOperatorKnows(t *testing.T) {
	var monitor monitoring.ServiceMonitor
	text := read(t, "kubernetes/components/service-monitor/service-monitor.yaml")
	if err := yaml.UnmarshalStrict([]byte(text), &monitor); err != nil {
		t.Fatal(err)
	}
	if len(monitor.Spec.Endpoints) != 1 || monitor.Spec.Endpoints[0].Port != "admin" {
		t.Errorf("%+v", monitor.Spec)
	}
}
