package secrets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/evergrant/evergrant/internal/connection"
)

// SpillAPI is the part of *secretsmanager.Client that a Spill uses.
type SpillAPI interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	CreateSecret(ctx context.Context, in *secretsmanager.CreateSecretInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error)
	DeleteSecret(ctx context.Context, in *secretsmanager.DeleteSecretInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.DeleteSecretOutput, error)
}

// A Spill keeps new tokens in Secrets Manager while DynamoDB does not take
// them, one secret a connection and fence: another service, whose values are
// read by name and at once. What it keeps is sealed by its caller.
type Spill struct {
	API    SpillAPI
	Prefix string // of the secrets' names
}

// name is made of the connection and the fence, so that whoever claims the
// connection next can look for it without a list. A connection ID may have
// characters that a secret's name may not.
func (s *Spill) name(k connection.Key, fence int64) string {
	sum := sha256.Sum256([]byte(k.ConnectionID + "\x00" + k.Provider))
	return s.Prefix + k.Provider + "/" + hex.EncodeToString(sum[:16]) + "/" + strconv.FormatInt(fence, 10)
}

// Put keeps sealed for the connection k under a fence. What is already kept
// there stays: a fence is one refresh's, so it is the same.
func (s *Spill) Put(ctx context.Context, k connection.Key, fence int64, sealed []byte) error {
	_, err := s.API.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: aws.String(s.name(k, fence)), SecretBinary: sealed,
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

// Find returns what is kept for k under the highest fence f with
// after < f < before, and f; nil where there is nothing.
func (s *Spill) Find(ctx context.Context, k connection.Key, after, before int64) (sealed []byte, f int64, err error) {
	for f := before - 1; f > after; f-- {
		out, err := s.API.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(s.name(k, f))})
		if hasCode(err, "ResourceNotFoundException") || hasCode(err, "InvalidRequestException") {
			continue // none, or one that was deleted
		}
		if err != nil {
			return nil, 0, fmt.Errorf("read spill: %w", err)
		}
		return out.SecretBinary, f, nil
	}
	return nil, 0, nil
}

// Delete removes what is kept for k under a fence, if anything is.
func (s *Spill) Delete(ctx context.Context, k connection.Key, fence int64) error {
	_, err := s.API.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{
		SecretId: aws.String(s.name(k, fence)), ForceDeleteWithoutRecovery: aws.Bool(true),
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
