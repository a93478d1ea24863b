package metricstest

import (
	"strings"
	"testing"
)

const good = `{"_aws":{"Timestamp":1795435200000,"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[["D"]],"Metrics":[{"Name":"M","Unit":"Count"}]}]},"D":"d","M":1.5,"level":"INFO"}`

func TestALineIsReadAsCloudWatchDoes(t *testing.T) {
	points, lines, err := Read(`{"level":"INFO"}` + "\n" + good + "\n")
	if err != nil || lines != 1 || len(points) != 1 || points[0].Value != 1.5 || points[0].Dimensions["D"] != "d" {
		t.Errorf("Read = %+v, %d, %v", points, lines, err)
	}
}

func TestALineThatCloudWatchLeavesOutIsRefused(t *testing.T) {
	for name, change := range map[string][2]string{
		"no JSON":                    {`{"_aws"`, `time=12:00 "_aws"`},
		"seconds":                    {"1795435200000", "1795435200"},
		"no time":                    {`"Timestamp":1795435200000,`, ""},
		"no directive":               {`[{"Namespace":"n","Dimensions":[["D"]],"Metrics":[{"Name":"M","Unit":"Count"}]}]`, "[]"},
		"no namespace":               {`"Namespace":"n",`, ""},
		"no dimensions":              {`[["D"]]`, "[]"},
		"a dimension that is absent": {`"D":"d",`, ""},
		"a dimension that is empty":  {`"D":"d"`, `"D":""`},
		"a dimension in a group":     {`"D":"d","M":1.5`, `"g":{"D":"d"},"M":1.5`},
		"a value that is absent":     {`"M":1.5,`, ""},
		"a value that is a text":     {"1.5", `"1.5"`},
		"a unit that is none":        {`"Count"`, `"Pieces"`},
		"a value that is too large":  {"1.5", "1e300"},
	} {
		if text := strings.Replace(good, change[0], change[1], 1); text == good {
			t.Errorf("%s: nothing was changed", name)
		} else if points, _, err := Read(text); err == nil {
			t.Errorf("%s: read %+v", name, points)
		}
	}
}
