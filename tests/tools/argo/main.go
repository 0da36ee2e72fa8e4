// Measures one metric of an AnalysisTemplate as Argo Rollouts 1.9 does, with the two engines that Argo has: client-go's JSONPath and
// expr. What is around them here is as in its metricproviders/{webmetric,prometheus} and utils/evaluate. It prints the phase and the value.
//
//	argo FILE TEMPLATE METRIC [NAME=VALUE…]
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

type template struct {
	Kind     string   `json:"kind"`
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Args    []argument        `json:"args"`
		Metrics []json.RawMessage `json:"metrics"`
	} `json:"spec"`
}

type metadata struct {
	Name string `json:"name"`
}

type argument struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

// Every key that the templates use, and no other: one that Argo does not know it would leave out without a word.
type metric struct {
	Name                    string `json:"name"`
	InitialDelay            string `json:"initialDelay"`
	Interval                string `json:"interval"`
	Count                   int    `json:"count"`
	FailureLimit            int    `json:"failureLimit"`
	InconclusiveLimit       int    `json:"inconclusiveLimit"`
	ConsecutiveErrorLimit   int    `json:"consecutiveErrorLimit"`
	ConsecutiveSuccessLimit int    `json:"consecutiveSuccessLimit"`
	SuccessCondition        string `json:"successCondition"`
	FailureCondition        string `json:"failureCondition"`
	Provider                struct {
		Web        *web        `json:"web"`
		Prometheus *prometheus `json:"prometheus"`
	} `json:"provider"`
}

type web struct {
	Method         string          `json:"method"`
	URL            string          `json:"url"`
	Headers        []header        `json:"headers"`
	TimeoutSeconds int             `json:"timeoutSeconds"`
	JSONBody       json.RawMessage `json:"jsonBody"`
	JSONPath       string          `json:"jsonPath"`
}

type header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type prometheus struct {
	Address string `json:"address"`
	Query   string `json:"query"`
}

func main() {
	phase, value, err := run(os.Args[1:])
	if err != nil {
		fmt.Println("Error", err)
		os.Exit(1)
	}
	said, _ := json.Marshal(value)
	fmt.Println(phase, string(said))
}

func run(args []string) (string, any, error) {
	if len(args) < 3 {
		return "", nil, errors.New("usage: argo FILE TEMPLATE METRIC [NAME=VALUE…]")
	}
	metric, err := find(args[0], args[1], args[2], args[3:])
	if err != nil {
		return "", nil, err
	}
	var value any
	switch {
	case metric.Provider.Web != nil:
		value, err = ask(metric.Provider.Web)
	case metric.Provider.Prometheus != nil:
		value, err = query(metric.Provider.Prometheus)
	default:
		err = errors.New("no provider")
	}
	if err != nil {
		return "", nil, err
	}
	phase, err := judge(metric, value)
	return phase, value, err
}

// The metric with its arguments in place.
func find(file, name, wanted string, given []string) (*metric, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var found template
		if err := yaml.Unmarshal([]byte(document), &found); err != nil {
			return nil, err
		}
		if found.Kind != "AnalysisTemplate" || found.Metadata.Name != name {
			continue
		}
		values := map[string]string{}
		for _, argument := range found.Spec.Args {
			if argument.Value != nil {
				values[argument.Name] = *argument.Value
			} else {
				values[argument.Name] = "" // from the rollout, or from a secret
			}
		}
		for _, pair := range given {
			key, value, _ := strings.Cut(pair, "=")
			if _, declared := values[key]; declared {
				values[key] = value
			}
		}
		for _, raw := range found.Spec.Metrics {
			var metric metric
			reader := json.NewDecoder(strings.NewReader(place(string(raw), values)))
			reader.DisallowUnknownFields()
			if err := reader.Decode(&metric); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if metric.Name == wanted {
				return &metric, nil
			}
		}
	}
	return nil, fmt.Errorf("there is no metric %s in a template %s", wanted, name)
}

// Argo puts arguments into the JSON text of a metric, with their quotes escaped.
func place(text string, values map[string]string) string {
	return regexp.MustCompile(`\{\{\s*args\.([\w-]+)\s*\}\}`).ReplaceAllStringFunc(text, func(found string) string {
		name := strings.TrimSpace(strings.Trim(found, "{}"))
		value, declared := values[strings.TrimPrefix(name, "args.")]
		if !declared {
			return found
		}
		quoted := strconv.Quote(value)
		return quoted[1 : len(quoted)-1]
	})
}

func ask(web *web) (any, error) {
	method := http.MethodGet
	if web.Method != "" {
		method = web.Method
	}
	if web.JSONBody != nil && method == http.MethodGet {
		return nil, errors.New("a body with GET")
	}
	request, err := http.NewRequest(method, web.URL, bytes.NewReader(web.JSONBody))
	if err != nil {
		return nil, err
	}
	for _, header := range web.Headers {
		request.Header.Set(header.Key, header.Value)
	}
	if web.JSONBody != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	timeout := 10 * time.Second
	if web.TimeoutSeconds > 0 {
		timeout = time.Duration(web.TimeoutSeconds) * time.Second
	}
	answer, err := fetch(request, timeout)
	if err != nil {
		return nil, err
	}
	path := web.JSONPath
	if path == "" {
		path = "{$}"
	}
	parser := jsonpath.New("metrics")
	if err := parser.Parse(path); err != nil {
		return nil, err
	}
	results, err := parser.FindResults(answer)
	if err != nil {
		return nil, err
	}
	for _, result := range results {
		for _, value := range result {
			return value.Interface(), nil
		}
	}
	return nil, errors.New("result of web metric produced no value")
}

// The samples of an instant vector, as Argo's `result`.
func query(prometheus *prometheus) (any, error) {
	request, err := http.NewRequest(http.MethodGet, prometheus.Address+"/api/v1/query?query="+url.QueryEscape(prometheus.Query), nil)
	if err != nil {
		return nil, err
	}
	answer, err := fetch(request, 30*time.Second)
	if err != nil {
		return nil, err
	}
	data := answer.(map[string]any)["data"].(map[string]any)
	if data["resultType"] != "vector" {
		return nil, fmt.Errorf("a %v, where the conditions are for a vector", data["resultType"])
	}
	results := []float64{}
	for _, sample := range data["result"].([]any) {
		value, err := strconv.ParseFloat(sample.(map[string]any)["value"].([]any)[1].(string), 64)
		if err != nil {
			return nil, err
		}
		results = append(results, value)
	}
	return results, nil
}

func fetch(request *http.Request, timeout time.Duration) (any, error) {
	client := http.Client{Timeout: timeout}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 200 || response.StatusCode >= 300 {
		return nil, fmt.Errorf("received non 2xx response code: %d: %s", response.StatusCode, text)
	}
	var answer any
	err = json.Unmarshal(text, &answer)
	return answer, err
}

func judge(metric *metric, value any) (string, error) {
	succeeds, err := holds(metric.SuccessCondition, value)
	if err != nil {
		return "", err
	}
	fails, err := holds(metric.FailureCondition, value)
	if err != nil {
		return "", err
	}
	switch {
	case metric.SuccessCondition == "" && metric.FailureCondition == "":
		return "Successful", nil
	case metric.FailureCondition == "":
		fails = !succeeds
	case metric.SuccessCondition == "":
		succeeds = !fails
	}
	switch {
	case fails:
		return "Failed", nil
	case succeeds:
		return "Successful", nil
	}
	return "Inconclusive", nil
}

func holds(condition string, value any) (bool, error) {
	if condition == "" {
		return false, nil
	}
	environment := map[string]any{
		"result": value,
		"isNaN":  math.IsNaN,
		"isInf":  func(number float64) bool { return math.IsInf(number, 0) },
	}
	program, err := expr.Compile(condition, expr.Env(environment))
	if err != nil {
		return false, err
	}
	output, err := expr.Run(program, environment)
	if err != nil {
		return false, err
	}
	truth, ok := output.(bool)
	if !ok {
		return false, fmt.Errorf("expected bool, but got %T", output)
	}
	return truth, nil
}
