package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/secrets"
)

// maxLogLine is the longest line of a log that is read, in bytes. The AWS CLI
// puts tabs between what it found, so one line may be a whole log.
const maxLogLine = 64 << 20

func newRescue(t tool, g *global) *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use:   "rescue",
		Short: "Put tokens from the log back",
		Long: `Put tokens from the log back.

When neither DynamoDB nor Secrets Manager takes new tokens before a function ends, the function logs them, sealed, with the
words "new tokens only here". This command reads such log lines and puts what they hold into Secrets Manager, where the next
refresh of the connection, or the search of the sweep within ten minutes, finds it. Other lines are passed over, several log
lines may stand on one, and doing it twice harms nothing.`,
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

	sealed []byte // Rescue, decoded
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
	count, number := 0, 0
	var cut []string
	for lines.Scan() {
		number++
		found, whole := parseRescue(lines.Text())
		if !whole {
			cut = append(cut, strconv.Itoa(number))
		}
		for _, line := range found {
			if err := spill.Put(ctx, line.key(), line.sealed); err != nil {
				return fmt.Errorf("connection %s at %s: %w", line.ConnectionID, line.Provider, err)
			}
			count++
			if !g.json {
				if _, err := fmt.Fprintf(t.Out, "%s at %s: waits to be stored\n", line.ConnectionID, line.Provider); err != nil {
					return err
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if len(cut) > 0 {
		return fmt.Errorf("tokens in line %s of standard input are cut or altered (put back: %d): pipe them whole, as they were logged", strings.Join(cut, ", "), count)
	}
	if count == 0 {
		return errors.New("no line on standard input holds tokens: pipe the log lines with \"new tokens only here\" into this command")
	}
	if g.json {
		return printJSON(t.Out, map[string]any{"rescued": count})
	}
	return nil
}

// key returns where the tokens of l wait to be stored.
func (l rescueLine) key() connection.SpillKey {
	return connection.SpillKey{
		Key:   connection.Key{ConnectionID: l.ConnectionID, Provider: l.Provider},
		Fence: l.Fence, Grant: l.Grant,
	}
}

// parseRescue returns what holds tokens among the JSON objects of text, with
// anything between them. It is not whole where text speaks of tokens that cannot
// be read, because a line was cut or altered on its way.
func parseRescue(text string) (found []rescueLine, whole bool) {
	whole = true
	for text != "" {
		next, size := text, len(text)
		if start := strings.IndexByte(text[1:], '{') + 1; start > 0 {
			next, size = text[:start], start
		}
		var object json.RawMessage
		decoder := json.NewDecoder(strings.NewReader(text))
		if text[0] == '{' && decoder.Decode(&object) == nil {
			next, size = string(object), int(decoder.InputOffset())
		}
		if line, ok := readRescue(next); ok {
			found = append(found, line)
		} else if strings.Contains(next, "new tokens only here") || strings.Contains(next, `"rescue"`) {
			whole = false
		}
		text = text[size:]
	}
	return found, whole
}

// readRescue reads one object that holds tokens; ok is false for any other.
func readRescue(object string) (line rescueLine, ok bool) {
	if json.Unmarshal([]byte(object), &line) != nil || line.Rescue == "" {
		return line, false
	}
	var err error
	line.sealed, err = base64.StdEncoding.DecodeString(line.Rescue)
	return line, err == nil && line.ConnectionID != "" && line.Provider != "" && (line.Fence < 1) != (line.Grant < 1)
}
