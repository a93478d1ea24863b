package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/secrets"
)

// maxLogLine is the longest line of a log that is read, in bytes.
const maxLogLine = 1 << 20

func newRescue(t tool, g *global) *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use:   "rescue",
		Short: "Put tokens from the log back",
		Long: `Put tokens from the log back.

When neither DynamoDB nor Secrets Manager takes new tokens before a function ends, the function logs them, sealed, with the
words "new tokens only here". This command reads such log lines and puts what they hold into Secrets Manager, where the next
refresh of the connection, or the search of the sweep within ten minutes, finds it. Other lines are passed over, and doing it
twice harms nothing.`,
		Example: `  aws logs filter-log-events --log-group-name /aws/lambda/my-stack/refresh --filter-pattern rescue \
    --query 'events[].message' --output text | evergrant rescue --rescue-secrets my-stack/rescue/`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if prefix == "" {
				return misuse(cmd, "name the prefix of the stack's rescue secrets with --rescue-secrets, such as my-stack/rescue/")
			}
			return g.rescue(cmd.Context(), t, prefix)
		},
	}
	cmd.Flags().StringVar(&prefix, "rescue-secrets", "", "`prefix` of the names of the stack's rescue secrets")
	return cmd
}

// A rescueLine is what a log line says of tokens that are nowhere else.
type rescueLine struct {
	ConnectionID string `json:"connection_id"`
	Provider     string `json:"provider"`
	Fence        int64  `json:"fence"` // of a refresh
	Grant        int64  `json:"grant"` // of a new grant
	Rescue       string `json:"rescue"`
}

// rescue puts what the lines of t.In hold into the spill below prefix.
func (g *global) rescue(ctx context.Context, t tool, prefix string) error {
	aws, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("read AWS settings: %w", err)
	}
	spill := &secrets.Spill{API: secretsmanager.NewFromConfig(aws), Prefix: prefix}
	lines := bufio.NewScanner(t.In)
	lines.Buffer(nil, maxLogLine)
	count := 0
	for lines.Scan() {
		line, sealed, err := parseRescue(lines.Text())
		if err != nil {
			return err
		}
		if sealed == nil {
			continue
		}
		k := connection.Key{ConnectionID: line.ConnectionID, Provider: line.Provider}
		if err := spill.Put(ctx, connection.SpillKey{Key: k, Fence: line.Fence, Grant: line.Grant}, sealed); err != nil {
			return fmt.Errorf("connection %s at %s: %w", k.ConnectionID, k.Provider, err)
		}
		count++
		if !g.json {
			if _, err := fmt.Fprintf(t.Out, "%s at %s: waits to be stored\n", k.ConnectionID, k.Provider); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if count == 0 {
		return errors.New("no line on standard input holds tokens: pipe the log lines with \"new tokens only here\" into this command")
	}
	if g.json {
		return printJSON(t.Out, map[string]any{"rescued": count})
	}
	return nil
}

// parseRescue reads one log line; sealed is nil for any that holds no tokens.
func parseRescue(text string) (line rescueLine, sealed []byte, err error) {
	start := strings.IndexByte(text, '{')
	if start < 0 || json.Unmarshal([]byte(strings.TrimSpace(text[start:])), &line) != nil || line.Rescue == "" {
		return line, nil, nil
	}
	sealed, err = base64.StdEncoding.DecodeString(line.Rescue)
	if err != nil || line.ConnectionID == "" || line.Provider == "" || (line.Fence < 1) == (line.Grant < 1) {
		return line, nil, errors.New("a line with tokens is cut or altered: pipe it whole, as it was logged")
	}
	return line, sealed, nil
}
