package secrets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/evergrant/evergrant/internal/connection"
)

// SpillAPI is the part of *secretsmanager.Client that a Spill uses.
type SpillAPI interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	CreateSecret(ctx context.Context, in *secretsmanager.CreateSecretInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error)
	DeleteSecret(ctx context.Context, in *secretsmanager.DeleteSecretInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.DeleteSecretOutput, error)
	ListSecrets(ctx context.Context, in *secretsmanager.ListSecretsInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.ListSecretsOutput, error)
}

// A Spill keeps new tokens in Secrets Manager while DynamoDB does not take
// them, one secret a key: another service, whose values are read by name and at
// once. What it keeps is sealed by its caller. Beside it stands whose it is,
// since a name has only the hash of that.
type Spill struct {
	API    SpillAPI
	Prefix string // of the secrets' names
}

// envelope is the value of a spill's secret.
type envelope struct {
	ConnectionID string `json:"connection_id"`
	Provider     string `json:"provider"`
	Fence        int64  `json:"fence,omitempty"`
	Grant        int64  `json:"grant,omitempty"`
	Sealed       []byte `json:"sealed"`
}

// name is made of the connection and the fence, so that whoever claims the
// connection next can look for it without a list. A connection ID may have
// characters that a secret's name may not.
func (s *Spill) name(at connection.SpillKey) string {
	sum := sha256.Sum256([]byte(at.ConnectionID + "\x00" + at.Provider))
	last := strconv.FormatInt(at.Fence, 10)
	if at.Grant != 0 {
		last = "grant-" + strconv.FormatInt(at.Grant, 10)
	}
	return s.Prefix + at.Provider + "/" + hex.EncodeToString(sum[:16]) + "/" + last
}

// Put keeps sealed at a key. What is already kept there stays: a fence is one
// refresh's, and a moment one grant's, so it is the same.
func (s *Spill) Put(ctx context.Context, at connection.SpillKey, sealed []byte) error {
	value, err := json.Marshal(envelope{ConnectionID: at.ConnectionID, Provider: at.Provider, Fence: at.Fence, Grant: at.Grant, Sealed: sealed})
	if err != nil {
		return fmt.Errorf("spill tokens: %w", err)
	}
	_, err = s.API.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: aws.String(s.name(at)), SecretBinary: value,
		Description: aws.String("New tokens that DynamoDB did not take. Evergrant stores and deletes them."),
	})
	if hasCode(err, "ResourceExistsException") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("spill tokens: %w", err)
	}
	return nil
}

// Find returns what refreshes of k have put under the highest fence f with
// after < f < before, and f; nil where there is nothing.
func (s *Spill) Find(ctx context.Context, k connection.Key, after, before int64) (sealed []byte, f int64, err error) {
	for f := before - 1; f > after; f-- {
		e, err := s.read(ctx, s.name(connection.SpillKey{Key: k, Fence: f}))
		if errors.Is(err, connection.ErrNotFound) {
			continue // none, or one that was deleted
		}
		if err != nil {
			return nil, 0, err
		}
		return e.Sealed, f, nil
	}
	return nil, 0, nil
}

// read returns the spill of a name: connection.ErrNotFound where there is none.
func (s *Spill) read(ctx context.Context, name string) (connection.SpillEntry, error) {
	out, err := s.API.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
	if hasCode(err, "ResourceNotFoundException") || hasCode(err, "InvalidRequestException") {
		return connection.SpillEntry{}, connection.ErrNotFound
	}
	if err != nil {
		return connection.SpillEntry{}, fmt.Errorf("read spill: %w", err)
	}
	var e envelope
	if err := json.Unmarshal(out.SecretBinary, &e); err != nil {
		return connection.SpillEntry{}, fmt.Errorf("secret %s is not a spill: remove it", name)
	}
	at := connection.SpillKey{Key: connection.Key{ConnectionID: e.ConnectionID, Provider: e.Provider}, Fence: e.Fence, Grant: e.Grant}
	if s.name(at) != name {
		return connection.SpillEntry{}, fmt.Errorf("secret %s is not the spill that it says it is: remove it", name)
	}
	return connection.SpillEntry{SpillKey: at, Sealed: e.Sealed}, nil
}

// pageOfSpills is how many secrets one call of List asks for.
const pageOfSpills = 100

// List returns a page of all that is kept. The first cursor is "", next is "" at
// the end. A secret that is no spill, or cannot be read, is an entry with an
// error; one that has gone is none. The list may lag behind Put and Delete.
func (s *Spill) List(ctx context.Context, cursor string) (page []connection.SpillEntry, next string, err error) {
	in := &secretsmanager.ListSecretsInput{
		MaxResults: aws.Int32(pageOfSpills),
		Filters:    []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{s.Prefix}}},
	}
	if cursor != "" {
		in.NextToken = &cursor
	}
	out, err := s.API.ListSecrets(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("list spills: %w", err)
	}
	for _, secret := range out.SecretList {
		name := aws.ToString(secret.Name)
		if !strings.HasPrefix(name, s.Prefix) || secret.DeletedDate != nil {
			continue
		}
		e, err := s.read(ctx, name)
		if errors.Is(err, connection.ErrNotFound) {
			continue
		}
		e.Err = err
		page = append(page, e)
	}
	return page, aws.ToString(out.NextToken), nil
}

// Delete removes what is kept at a key, if anything is.
func (s *Spill) Delete(ctx context.Context, at connection.SpillKey) error {
	_, err := s.API.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{
		SecretId: aws.String(s.name(at)), ForceDeleteWithoutRecovery: aws.Bool(true),
	})
	if err != nil && !hasCode(err, "ResourceNotFoundException") {
		return fmt.Errorf("delete spill: %w", err)
	}
	return nil
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}
