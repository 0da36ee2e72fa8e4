package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	node              = "race"
	addressAnnotation = "race.example/address"
	oldTraefik        = "/apis/traefik.containo.us/v1alpha1"
	newTraefik        = "/apis/traefik.io/v1alpha1"
	betweenWatches    = time.Second
)

type apiServer struct {
	url, token string
	client     *http.Client
}

func connect() (*apiServer, error) {
	pem, err := os.ReadFile(os.Getenv("KUBE_CA"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", os.Getenv("KUBE_CA"))
	}
	return &apiServer{
		url:    os.Getenv("KUBE_SERVER"),
		token:  os.Getenv("KUBE_TOKEN"),
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	}, nil
}

func (api *apiServer) ask(method, path, contentType string, body []byte) (io.ReadCloser, error) {
	request, err := http.NewRequest(method, api.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+api.token)
	request.Header.Set("Content-Type", contentType)
	answer, err := api.client.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		said, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		return nil, fmt.Errorf("%s %s: %s %s", method, path, answer.Status, said)
	}
	return answer.Body, nil
}

// send says on standard error what was refused: the object may be gone by then, and its next change comes by itself.
func (api *apiServer) send(method, path, contentType string, what any) {
	body, err := json.Marshal(what)
	if err == nil {
		var answer io.ReadCloser
		if answer, err = api.ask(method, path, contentType, body); err == nil {
			answer.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// watch calls for what is there and for every change after it, without end: the API server ends each watch now and then.
func watch[Object any](api *apiServer, path string, call func(change string, object Object)) {
	for {
		fmt.Fprintln(os.Stderr, watchOnce(api, path, call))
		time.Sleep(betweenWatches)
	}
}

func watchOnce[Object any](api *apiServer, path string, call func(change string, object Object)) error {
	stream, err := api.ask(http.MethodGet, path+"?watch=1&resourceVersion=0", "application/json", nil)
	if err != nil {
		return err
	}
	defer stream.Close()
	events := json.NewDecoder(stream)
	for {
		var event struct {
			Type   string
			Object json.RawMessage
		}
		if err := events.Decode(&event); err != nil {
			return err
		}
		if event.Type == "ERROR" {
			return fmt.Errorf("%s: %s", path, event.Object)
		}
		var object Object
		if err := json.Unmarshal(event.Object, &object); err != nil {
			return err
		}
		call(event.Type, object)
	}
}

type metadata struct {
	Name, Namespace   string
	Annotations       map[string]string
	DeletionTimestamp string
}

type pod struct {
	Metadata metadata
	Spec     struct{ NodeName string }
	Status   struct{ PodIP string }
}

// kubelet stands for a node: each pod is bound to it, is ready at once at the address that its annotation names, and goes at once.
func kubelet() error {
	api, err := connect()
	if err != nil {
		return err
	}
	api.send(http.MethodPatch, "/api/v1/nodes/"+node+"?fieldManager=arena&force=true", "application/apply-patch+yaml",
		map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]string{"name": node}})
	watch(api, "/api/v1/pods", func(change string, one pod) {
		address := one.Metadata.Annotations[addressAnnotation]
		path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", one.Metadata.Namespace, one.Metadata.Name)
		switch {
		case change == "DELETED" || address == "":
		case one.Metadata.DeletionTimestamp != "":
			api.send(http.MethodDelete, path, "application/json", map[string]any{"gracePeriodSeconds": 0})
		case one.Spec.NodeName == "":
			api.send(http.MethodPost, path+"/binding", "application/json", map[string]any{
				"apiVersion": "v1", "kind": "Binding", "metadata": map[string]string{"name": one.Metadata.Name},
				"target": map[string]string{"apiVersion": "v1", "kind": "Node", "name": node},
			})
		case one.Status.PodIP != address:
			api.send(http.MethodPatch, path+"/status", "application/merge-patch+json", ready(address))
		}
	})
	return nil
}

func ready(address string) any {
	now := time.Now().UTC().Format(time.RFC3339)
	conditions := []any{}
	for _, name := range []string{"Ready", "ContainersReady", "Initialized", "PodScheduled"} {
		conditions = append(conditions, map[string]string{"type": name, "status": "True", "lastTransitionTime": now})
	}
	return map[string]any{"status": map[string]any{
		"phase": "Running", "startTime": now, "conditions": conditions,
		"podIP": address, "podIPs": []any{map[string]string{"ip": address}},
	}}
}

type traefikService struct {
	Metadata metadata
	Spec     json.RawMessage
}

// twin copies every TraefikService of the old API group into the new one, under the same name, and says how long that took.
func twin() error {
	api, err := connect()
	if err != nil {
		return err
	}
	watch(api, oldTraefik+"/traefikservices", func(change string, one traefikService) {
		if change == "DELETED" {
			return
		}
		heard := time.Now()
		name, namespace := one.Metadata.Name, one.Metadata.Namespace
		api.send(http.MethodPatch, fmt.Sprintf("%s/namespaces/%s/traefikservices/%s?fieldManager=twin&force=true", newTraefik, namespace, name),
			"application/apply-patch+yaml", map[string]any{
				"apiVersion": "traefik.io/v1alpha1", "kind": "TraefikService",
				"metadata": map[string]string{"name": name, "namespace": namespace}, "spec": one.Spec,
			})
		fmt.Printf("%d,%d,%s\n", heard.UnixMicro(), time.Since(heard).Microseconds(), namespace)
	})
	return nil
}
