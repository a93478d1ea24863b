package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
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
refresh of the connection, or the search of the sweep within ten minutes, finds it. Other lines are passed over, and doing it
twice harms nothing.

The lines may come as they were logged, many on one, or as the AWS CLI prints them, as text or as JSON: from
filter-log-events, tail, or get-query-results with the field @message.`,
		Example: `  aws logs filter-log-events --log-group-name /aws/lambda/my-stack/refresh --filter-pattern rescue |
    evergrant rescue --rescue-secrets my-stack/rescue/`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if t.Terminal {
				return misuse(cmd, "pipe log lines into this command: it reads standard input")
			}
			if !strings.HasSuffix(prefix, "/") {
				return misuse(cmd, "--rescue-secrets is %q: give the stack's output RescueSecrets, such as my-stack/rescue/, with the slash at its end", prefix)
			}
			return g.rescue(cmd.Context(), t, prefix)
		},
	}
	cmd.Flags().StringVar(&prefix, "rescue-secrets", "", "what the stack's output RescueSecrets holds: the `prefix` of the names of its rescue secrets,\nsuch as my-stack/rescue/")
	return cmd
}

// unfinished finds what the AWS CLI prints where more is to come: the token of the
// next page (filter-log-events), or a query that has not ended well
// (get-query-results; CloudWatch Logs API Reference, 2026-11-23). In a message that
// it quotes, the quotation marks are escaped.
var unfinished = regexp.MustCompile(`"[nN]extToken": ?"|"status": ?"(Cancelled|Failed|Running|Scheduled|Timeout|Unknown)"`)

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
	part := false
	for lines.Scan() {
		number++
		part = part || unfinished.Match(lines.Bytes())
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
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d of standard input is longer than %d MB (put back: %d): ask for less of the log, with --start-time", number+1, maxLogLine>>20, count)
	case err != nil:
		return fmt.Errorf("read log: %w", err)
	case len(cut) > 0:
		return fmt.Errorf("tokens in line %s of standard input are cut or altered (put back: %d): pipe whole messages, as they were logged; of a query, its field @message", strings.Join(cut, ", "), count)
	case part:
		return fmt.Errorf("standard input is a part of what there is (put back: %d): wait until the query is Complete, or leave out --max-items and --no-paginate, and run this again", count)
	case count == 0:
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
// anything between them: also those that stand as strings in others, which is how
// the AWS CLI prints the messages of a log unless it is told to print text. It is
// not whole where the rest of text speaks of tokens, because a line was cut or
// altered on its way.
func parseRescue(text string) (found []rescueLine, whole bool) {
	whole = true
	var rest strings.Builder
	for text != "" {
		size := 1
		switch text[0] {
		case '{':
			var object json.RawMessage
			decoder := json.NewDecoder(strings.NewReader(text))
			if decoder.Decode(&object) != nil {
				break
			}
			if line, ok := readRescue(object); ok {
				found = append(found, line)
				text = text[decoder.InputOffset():]
				rest.WriteByte('\n')
				continue
			}
		case '"':
			inner, end := quoted(text)
			its, innerWhole := parseRescue(inner)
			if len(its) > 0 || !innerWhole {
				found, whole = append(found, its...), whole && innerWhole
				text = text[end:]
				rest.WriteByte('\n')
				continue
			}
		default:
			if size = strings.IndexAny(text, `{"`); size < 0 {
				size = len(text)
			}
		}
		rest.WriteString(text[:size])
		text = text[size:]
	}
	return found, whole && !strings.Contains(rest.String(), tokensOnlyHere) && !strings.Contains(rest.String(), `"rescue"`)
}

// tokensOnlyHere begins the message of a log line that holds tokens.
const tokensOnlyHere = "new tokens only here"

// quoted returns what the JSON string at the start of text says, if that may be
// of tokens, and where it ends.
func quoted(text string) (inner string, end int) {
	for end = 1; end < len(text) && text[end] != '"'; end++ {
		if text[end] == '\\' {
			end++
		}
	}
	if end >= len(text) || !strings.Contains(text[:end], "rescue") && !strings.Contains(text[:end], tokensOnlyHere) {
		return "", 0
	}
	_ = json.Unmarshal([]byte(text[:end+1]), &inner) // "" where it is none
	return inner, end + 1
}

// readRescue reads one object that holds tokens; ok is false for any other.
func readRescue(object []byte) (line rescueLine, ok bool) {
	if json.Unmarshal(object, &line) != nil || line.Rescue == "" {
		return line, false
	}
	var err error
	line.sealed, err = base64.StdEncoding.DecodeString(line.Rescue)
	return line, err == nil && line.ConnectionID != "" && line.Provider != "" && (line.Fence < 1) != (line.Grant < 1)
}
