package deployment

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/template"
	"github.com/evergrant/evergrant/internal/tooltest"
)

// region is where everything is deployed.
const region = "eu-central-1"

func readTemplate(t *testing.T) map[string]any {
	t.Helper()
	doc, err := template.Document(root + "/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// chosen are values of parameters whose default asks for nothing, for the stack
// with all that can be asked for.
var chosen = map[string]string{
	"PublicUrl": "https://connect.example.com", "CompletionUrl": "https://app.example.com/complete", "ReturnOrigins": "https://app.example.com,https://admin.example.com",
	"CustomDomain": "connect.example.com", "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b2c3d",
	"HostedZoneId": "Z0123456789ABCDEFGHIJ", "TrustStore": "s3://bucket/truststore.pem",
	"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d", "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms",
	"WarmReads": "12000", "WarmWrites": "4000", "MaxReads": "50000", "MaxWrites": "20000",
	"Tracing": "Active", "EventBus": "arn:aws:events:eu-central-1:123456789012:event-bus/host", "RefreshReservedConcurrency": "12",
}

// all returns parameters that ask for all there is. A parameter that says yes or
// no says yes; one with an empty or a zero default must be in chosen.
func all(t *testing.T, doc map[string]any, environment string) map[string]string {
	t.Helper()
	parameters := maps.Clone(chosen)
	declared, _ := doc["Parameters"].(map[string]any)
	for name, parameter := range declared {
		switch values, _ := template.At(parameter, "AllowedValues").([]any); {
		case len(values) == 2 && values[0] == "true" && values[1] == "false":
			parameters[name] = "true"
		case chosen[name] == "" && (text(t, template.At(parameter, "Default")) == `""` || text(t, template.At(parameter, "Default")) == `"0"` || text(t, template.At(parameter, "Default")) == "0"):
			t.Errorf("the parameter %s asks for nothing by default: say in chosen how it is used", name)
		}
	}
	parameters["Environment"] = environment
	if _, err := template.Render(root+"/template.yaml", parameters); err != nil {
		t.Errorf("chosen: %v", err)
	}
	return parameters
}

// stacks returns what is tested: what people deploy, all defaults, all there is.
func stacks(t *testing.T) map[string]*stack {
	t.Helper()
	doc, c := readTemplate(t), readSamconfig(t)
	parameters := map[string]map[string]string{
		"evergrant": {}, "everything": all(t, doc, "prod"), "everything-dev": all(t, doc, "dev"),
	}
	for _, environment := range environments {
		parameters["evergrant-"+environment] = c.overrides(t, environment)
	}
	translated := translate(t, parameters)
	stacks := map[string]*stack{}
	for name, own := range parameters {
		rendered, err := template.RenderTranslated(name, translated[name], own)
		if err != nil {
			t.Fatalf("render %s: %v", name, err)
		}
		s := &stack{Stack: rendered, name: name, parameters: own, own: map[string]bool{}}
		for id := range doc["Resources"].(map[string]any) {
			s.own[id] = true
		}
		stacks[name] = s
	}
	return stacks
}

// translations keeps what the translator has said, since it takes a second.
var translations struct {
	sync.Mutex
	made map[string]map[string]map[string]any
}

// translate returns the CloudFormation template that SAM makes for each stack
// from its parameters.
func translate(t *testing.T, parameters map[string]map[string]string) map[string]map[string]any {
	t.Helper()
	translations.Lock()
	defer translations.Unlock()
	key := text(t, parameters)
	if made := translations.made[key]; made != nil {
		return made
	}
	cmd := exec.CommandContext(t.Context(), tool(t, "sam", "python"), "testdata/translate.py", root+"/template.yaml")
	cmd.Env = append(cmd.Environ(), "AWS_DEFAULT_REGION="+region)
	cmd.Stdin = bytes.NewReader([]byte(key))
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("translate the template: %v\n%s", err, said.String())
	}
	var made map[string]map[string]any
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatalf("translate the template: %v", err)
	}
	translations.made = map[string]map[string]map[string]any{key: made}
	return made
}

// tool returns the path of a command in one of the Python environments that make
// tools installs.
func tool(t *testing.T, environment, command string) string {
	t.Helper()
	return tooltest.Installed(t, filepath.Join(root, ".tools", environment, "bin", command))
}
