package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connections"
)

// maxAnswer is the longest answer that is read, in bytes: Lambda's own limit.
const maxAnswer = 6 << 20

// callTime is how long one call may take: longer than the function's own time.
const callTime = 90 * time.Second

// A plane is a control plane: it takes the input of the connections function
// and returns its output.
type plane func(ctx context.Context, input []byte) ([]byte, error)

// plane returns the control plane that the flags choose.
func (g *global) plane(cmd *cobra.Command, t tool) (plane, error) {
	byURL := cmd.Flags().Changed("url")
	function := g.function
	if function == "" && !byURL {
		function = t.Getenv("EVERGRANT_FUNCTION")
	}
	if byURL && g.function != "" {
		return nil, misuse(cmd, "--url and --function name two places: use one")
	}
	if function != "" {
		return deployed(function), nil
	}
	u, err := url.Parse(g.url)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, misuse(cmd, "--url %q is not a URL such as http://localhost:8788", g.url)
	}
	return localMode(strings.TrimSuffix(g.url, "/")), nil
}

// localMode is the control plane of the local mode at base.
func localMode(base string) plane {
	return func(ctx context.Context, input []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/control", bytes.NewReader(input))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("local mode is not running at %s: start it with `make run`, or name a deployed stack with --function", base)
		}
		if err != nil {
			return nil, fmt.Errorf("call local mode: %w", err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return nil, fmt.Errorf("call local mode: %w", err)
		}
		if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
			return nil, fmt.Errorf("%s does not answer as local mode does (HTTP %d): look at --url", base, resp.StatusCode)
		}
		return body, nil
	}
}

// deployed is the control plane of a deployed stack: its connections function.
func deployed(function string) plane {
	return func(ctx context.Context, input []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		aws, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("read AWS settings: %w", err)
		}
		out, err := lambda.NewFromConfig(aws).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: input})
		if err != nil {
			return nil, fmt.Errorf("invoke %s: %w", function, err)
		}
		if out.FunctionError != nil {
			var failure struct {
				Message string `json:"errorMessage"`
			}
			_ = json.Unmarshal(out.Payload, &failure) // without a message the log is all there is
			return nil, fmt.Errorf("%s failed, its log says more: %s", function, failure.Message)
		}
		return out.Payload, nil
	}
}

// An output is the control plane's answer. The connections of a list stay as
// they came, so that --json prints members that this version does not know.
type output struct {
	Connection  json.RawMessage     `json:"connection,omitempty"`
	Connections []json.RawMessage   `json:"connections,omitzero"`
	Cursor      string              `json:"cursor,omitempty"`
	Reseal      *connections.Reseal `json:"reseal,omitempty"`
	Provider    *connections.Held   `json:"provider,omitempty"`
	Error       *connections.Error  `json:"error,omitempty"`
}

// call sends input to the control plane. An error that the control plane
// answers with is an error here.
func call(ctx context.Context, p plane, input map[string]any) (output, error) {
	raw, err := json.Marshal(input)
	if err != nil {
		return output{}, err
	}
	answer, err := p(ctx, raw)
	if err != nil {
		return output{}, err
	}
	var out output
	if err := json.Unmarshal(answer, &out); err != nil || (out.Connection == nil && out.Connections == nil && out.Reseal == nil && out.Provider == nil && out.Error == nil) {
		return output{}, errors.New("the answer is not one of Evergrant's control plane: look at --url or --function")
	}
	if out.Error != nil {
		return out, out.Error
	}
	return out, nil
}

// one has the control plane do an action on one connection and returns that.
// With --json it prints the answer, also one that is an error.
func (g *global) one(cmd *cobra.Command, t tool, input map[string]any) (connections.View, error) {
	p, err := g.plane(cmd, t)
	if err != nil {
		return connections.View{}, err
	}
	out, err := call(cmd.Context(), p, input)
	if g.json && (err == nil || out.Error != nil) {
		err = errors.Join(err, printJSON(t.Out, out))
	}
	if err != nil {
		return connections.View{}, err
	}
	var v connections.View
	if err := json.Unmarshal(out.Connection, &v); err != nil {
		return connections.View{}, errors.New("the answer holds no connection: look at --url or --function")
	}
	return v, nil
}

// printJSON prints v for programs.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
