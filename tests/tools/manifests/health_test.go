// Plays the health checks of deploy/argo-cd and deploy/flux on every state of a GatedRollout, in the engines that Argo CD 3 and
// Flux 2 have: gopher-lua with the few libraries that Argo CD opens, and cel-go with the options of Flux. What is around them
// here is as in Argo CD's util/lua and Flux's pkg/runtime/cel.
package manifests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

const deploy = "../../../deploy"

// `offers` are the actions that Argo CD offers, in the order of their definitions.
type state struct {
	name, state        string
	generation, heard  int
	conditions         []string
	argo, flux, offers string
}

const (
	accepted = "Accepted=True Valid"
	faults   = "Accepted=False Faults"
	healthy  = "Healthy=True Serving"
	unjudged = "Healthy=Unknown Starting"
)

var states = []state{
	{name: "nobody has read it", generation: 1, argo: "Progressing", flux: "an error"},
	{name: "a status without conditions", state: "idle", generation: 1, heard: 1, argo: "Progressing", flux: "InProgress"},
	{name: "a change that nobody has read", state: "idle", generation: 2, heard: 1, conditions: []string{accepted, "Progressing=False Idle", healthy},
		argo: "Progressing", flux: "InProgress"},
	{name: "refused", state: "idle", generation: 1, heard: 1, conditions: []string{faults}, argo: "Degraded", flux: "Failed"},
	{name: "refused while a release goes on", state: "stepping", generation: 2, heard: 2,
		conditions: []string{faults, "Progressing=True Stepping", healthy}, argo: "Degraded", flux: "Failed", offers: "pause promote rollback"},
	{name: "accepted, and nothing runs yet", state: "idle", generation: 1, heard: 1, conditions: []string{accepted, "Progressing=False Starting", unjudged},
		argo: "Progressing", flux: "InProgress"},
	{name: "cannot hold while it runs", state: "idle", generation: 2, heard: 2, conditions: []string{"Accepted=False Refused", "Progressing=False Idle", healthy},
		argo: "Degraded", flux: "Failed"},
	{name: "blue is gone", state: "idle", generation: 1, heard: 1,
		conditions: []string{accepted, "Progressing=False Idle", "Healthy=False NoEndpoints"}, argo: "Degraded", flux: "Failed"},
	{name: "idle", state: "idle", generation: 1, heard: 1, conditions: []string{accepted, "Progressing=False Idle", healthy}, argo: "Healthy", flux: "Current"},
	{name: "stepping", state: "stepping", generation: 2, heard: 2, conditions: []string{accepted, "Progressing=True Stepping", healthy},
		argo: "Progressing", flux: "InProgress", offers: "pause promote rollback"},
	{name: "waiting for an approval", state: "paused", generation: 2, heard: 2, conditions: []string{accepted, "Progressing=True AwaitingApproval", healthy},
		argo: "Suspended", flux: "InProgress", offers: "approve promote rollback"},
	{name: "paused", state: "paused", generation: 2, heard: 2, conditions: []string{accepted, "Progressing=True Paused", healthy},
		argo: "Suspended", flux: "InProgress", offers: "resume promote rollback"},
	{name: "at 100 % and watched", state: "promoted", generation: 2, heard: 2, conditions: []string{accepted, "Progressing=True Monitoring", healthy},
		argo: "Progressing", flux: "InProgress", offers: "rollback"},
	{name: "completed", state: "completed", generation: 2, heard: 2, conditions: []string{accepted, "Progressing=False Completed", healthy},
		argo: "Healthy", flux: "Current"},
	{name: "rolled back", state: "rolledBack", generation: 2, heard: 2,
		conditions: []string{accepted, "Progressing=False RolledBack", "Healthy=False RolledBack"}, argo: "Degraded", flux: "Failed", offers: "start"},
}

// As the API server gives it.
func (state state) object() map[string]any {
	object := map[string]any{
		"apiVersion": "portcullis.dev/v1alpha1",
		"kind":       "GatedRollout",
		"metadata":   map[string]any{"name": "shop", "generation": int64(state.generation)},
		"spec":       map[string]any{},
	}
	if state.heard == 0 {
		return object
	}
	status := map[string]any{"state": state.state, "observedGeneration": int64(state.heard)}
	for _, said := range state.conditions {
		kind, rest, _ := strings.Cut(said, "=")
		value, reason, _ := strings.Cut(rest, " ")
		conditions, _ := status["conditions"].([]any)
		status["conditions"] = append(conditions, map[string]any{"type": kind, "status": value, "reason": reason, "message": kind + " says why"})
	}
	object["status"] = status
	return object
}

func TestArgoCDShowsTheHealthOfEveryState(t *testing.T) {
	script := read(t, "argo-cd/health.lua")
	for _, state := range states {
		found := run(t, script, state.object()).(map[string]any)
		if found["status"] != state.argo || found["message"] == nil {
			t.Errorf("%s: %v", state.name, found)
		}
	}
}

func TestArgoCDOffersWhatAStateAllowsAndAnnotatesForIt(t *testing.T) {
	var actions struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string `json:"name"`
			Action string `json:"action.lua"`
		} `json:"definitions"`
	}
	parse(t, "argo-cd/actions.yaml", &actions)
	for _, state := range states {
		offered := run(t, actions.Discovery, state.object()).(map[string]any)
		var names []string
		for _, definition := range actions.Definitions {
			if offered[definition.Name].(map[string]any)["disabled"] == false {
				names = append(names, definition.Name)
			}
			annotated := run(t, definition.Action, state.object()).(map[string]any)["metadata"].(map[string]any)["annotations"]
			if annotated.(map[string]any)["portcullis.dev/"+definition.Name] == nil {
				t.Errorf("%s annotates %v", definition.Name, annotated)
			}
		}
		if len(offered) != len(actions.Definitions) || strings.Join(names, " ") != state.offers {
			t.Errorf("%s: %v", state.name, offered)
		}
	}
}

func TestFluxWaitsForARefusalARollbackOrTheEndOfTheRelease(t *testing.T) {
	var kustomization struct {
		Spec struct {
			Checks []struct{ InProgress, Failed, Current string } `json:"healthCheckExprs"`
		}
	}
	parse(t, "flux/rollout.yaml", &kustomization)
	check := kustomization.Spec.Checks[0]
	for _, state := range states {
		if found := evaluate(t, state.object(), check.InProgress, check.Failed, check.Current); found != state.flux {
			t.Errorf("%s: %s", state.name, found)
		}
	}
}

func evaluate(t *testing.T, object map[string]any, inProgress, failed, current string) string {
	metadata := object["metadata"].(map[string]any)
	if status, ok := object["status"].(map[string]any); ok && status["observedGeneration"] != metadata["generation"] {
		return "InProgress"
	}
	environment, err := cel.NewEnv(cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders())
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []struct{ text, status string }{{inProgress, "InProgress"}, {failed, "Failed"}, {current, "Current"}} {
		parsed, issues := environment.Parse(rule.text)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		program, err := environment.Program(parsed)
		if err != nil {
			t.Fatal(err)
		}
		value, _, err := program.Eval(object)
		if err != nil {
			// Flux asks again, until its time is over.
			return "an error"
		}
		if value.Value().(bool) {
			return rule.status
		}
	}
	return "InProgress"
}

// What the script returns on the object.
func run(t *testing.T, script string, object map[string]any) any {
	machine := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer machine.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := machine.CallByParam(lua.P{Fn: machine.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	machine.SetGlobal("obj", given(machine, object))
	if err := machine.DoString(script); err != nil {
		t.Fatal(err)
	}
	return taken(machine.Get(-1))
}

func given(machine *lua.LState, value any) lua.LValue {
	table := machine.NewTable()
	switch value := value.(type) {
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case []any:
		for _, part := range value {
			table.Append(given(machine, part))
		}
	case map[string]any:
		for key, part := range value {
			table.RawSetString(key, given(machine, part))
		}
	}
	return table
}

func taken(value lua.LValue) any {
	switch value := value.(type) {
	case *lua.LTable:
		found := map[string]any{}
		value.ForEach(func(key, part lua.LValue) { found[key.String()] = taken(part) })
		return found
	case lua.LBool:
		return bool(value)
	default:
		return value.String()
	}
}

func parse(t *testing.T, file string, into any) {
	if err := yaml.Unmarshal([]byte(read(t, file)), into); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
