// Package secrets reads client credentials and keys from Secrets Manager and
// keeps them briefly.
//
// A value serves for five minutes, give or take a fifth; while Secrets Manager
// is out of reach the old value goes on serving. When a provider refuses the
// client credentials, Others reads past the cache. That a secret is not there
// is remembered for ten seconds.
//
// It changes no secret of the operator's: rotating one is theirs. A Spill writes
// and deletes secrets of its own.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

// keep is how long a value serves, before jitter.
const keep = 5 * time.Minute

// A wrong or missing secret must not make a storm of reads.
const (
	rereadAfter  = 30 * time.Second // how long Others trusts what it has read past the cache
	missingAfter = 10 * time.Second // how long a secret that cannot be had is not asked for again
)

// API is the part of *secretsmanager.Client that Store uses.
type API interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	BatchGetSecretValue(ctx context.Context, in *secretsmanager.BatchGetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.BatchGetSecretValueOutput, error)
}

// A Store reads secrets. It is safe for concurrent use.
type Store struct {
	API           API
	Prefix        string // of the providers' secrets
	Seal, Connect string // names of the key rings
	AllowPrivate  bool   // provider URLs may be loopback ones
	Now           func() time.Time
	Jitter        func() float64 // in [0, 1)

	mu      sync.Mutex
	entries map[string]*entry
}

// An entry is one cached secret, by name and stage. It is locked during a read,
// so that many callers make one.
type entry struct {
	lock   chan struct{} // holds one element while locked: one can give up waiting
	value  []byte
	err    error     // instead of value: what an operator has to mend
	until  time.Time // when to read again
	reread time.Time // when it was last read past the cache
}

// Client returns the client credentials for a provider.
func (s *Store) Client(ctx context.Context, provider string) (oauth.Client, error) {
	p, ok := providers.Find(provider)
	if !ok {
		return oauth.Client{}, fmt.Errorf("%w: there is no provider %q", oauth.ErrNotConfigured, provider)
	}
	document, err := s.get(ctx, s.Prefix+provider, current, false)
	if err != nil {
		return oauth.Client{}, err
	}
	return s.parse(p, document)
}

// Others returns the credentials that may be tried after the provider has
// refused those of refused: what the current version has for its client ID and
// environment, if that has changed, then what the previous version has, each
// only if it is another client secret.
func (s *Store) Others(ctx context.Context, refused oauth.Client) ([]oauth.Client, error) {
	p := refused.Provider
	var others []oauth.Client
	tried := map[oauth.Secret]bool{refused.Secret: true}
	for _, stage := range []string{current, previous} {
		document, err := s.get(ctx, s.Prefix+p.ID, stage, true)
		if errors.Is(err, oauth.ErrNotConfigured) {
			continue // there is no previous version
		}
		if err != nil {
			return others, err
		}
		c, err := s.parse(p, document)
		if err == nil {
			c, err = c.For(refused.ID, refused.Environment.Name)
		}
		if err == nil && !tried[c.Secret] {
			tried[c.Secret] = true
			others = append(others, c)
		}
	}
	return others, nil
}

// SealKeys returns the keys that seal refresh tokens and cookies.
func (s *Store) SealKeys(ctx context.Context) (seal.Keys, error) { return s.keys(ctx, s.Seal) }

// ConnectKeys returns the keys that sign connect tickets.
func (s *Store) ConnectKeys(ctx context.Context) (seal.Keys, error) {
	if s.Connect == "" {
		return seal.Keys{}, fmt.Errorf("%w: setting CONNECT_SECRET is missing, so no ticket can be checked", oauth.ErrNotConfigured)
	}
	return s.keys(ctx, s.Connect)
}

func (s *Store) keys(ctx context.Context, name string) (seal.Keys, error) {
	document, err := s.get(ctx, name, current, false)
	if err != nil {
		return seal.Keys{}, err
	}
	k, err := seal.ParseKeys(document)
	if err != nil {
		return seal.Keys{}, fmt.Errorf("%w: secret %s: %w", oauth.ErrNotConfigured, name, err)
	}
	return k, nil
}

func (s *Store) parse(p providers.Provider, document []byte) (oauth.Client, error) {
	c, err := oauth.ParseClient(p, document, s.AllowPrivate)
	if err != nil {
		return oauth.Client{}, fmt.Errorf("%w: secret %s%s: %w", oauth.ErrNotConfigured, s.Prefix, p.ID, err)
	}
	return c, nil
}

// The stages of a secret.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
)

// get returns a secret's value: from the cache if it may, or past it unless that
// was done a moment ago.
func (s *Store) get(ctx context.Context, name, stage string, past bool) ([]byte, error) {
	e := s.entry(name + "@" + stage)
	if err := e.acquire(ctx); err != nil {
		return nil, fmt.Errorf("wait for secret %s: %w", name, err)
	}
	defer e.release()
	now := s.Now()
	fresh := now.Before(e.until)
	if past && now.Sub(e.reread) >= rereadAfter {
		fresh, e.reread = false, now
	}
	if fresh {
		return e.value, e.err
	}
	value, err := s.fetch(ctx, name, stage)
	switch {
	case errors.Is(err, oauth.ErrNotConfigured):
		e.value, e.err, e.until = nil, err, now.Add(missingAfter)
	case err != nil && e.value != nil:
		e.until = now.Add(keep / 10) // out of reach: the old value serves on
	case err != nil:
		return nil, err
	default:
		s.serve(e, value, now)
	}
	return e.value, e.err
}

// serve makes value, read at now, what e serves. The caller has locked e.
func (s *Store) serve(e *entry, value []byte, now time.Time) {
	e.value, e.err = value, nil
	e.until = now.Add(keep*4/5 + time.Duration(s.Jitter()*float64(keep*2/5)))
}

// acquire locks e. It fails only where it has to wait and ctx ends.
func (e *entry) acquire(ctx context.Context) error {
	select {
	case e.lock <- struct{}{}:
		return nil
	default:
	}
	select {
	case e.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *entry) release() { <-e.lock }

func (s *Store) entry(key string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[string]*entry{}
	}
	if s.entries[key] == nil {
		s.entries[key] = &entry{lock: make(chan struct{}, 1)}
	}
	return s.entries[key]
}

// fetch reads a secret. An answer of Secrets Manager that only an operator can
// change is oauth.ErrNotConfigured.
func (s *Store) fetch(ctx context.Context, name, stage string) ([]byte, error) {
	out, err := s.API.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name, VersionStage: aws.String(stage)})
	var api smithy.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode() == "ResourceNotFoundException":
		return nil, fmt.Errorf("%w: secret %s has no %s version: create it", oauth.ErrNotConfigured, name, stage)
	case errors.As(err, &api) && api.ErrorCode() == "AccessDeniedException":
		return nil, fmt.Errorf("%w: secret %s may not be read: allow secretsmanager:GetSecretValue", oauth.ErrNotConfigured, name)
	case err != nil:
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	return document(out.SecretString, out.SecretBinary), nil
}

// document returns what a secret holds, which is text or binary.
func document(text *string, binary []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return binary
}

// warmTime is the most that Warm takes.
const warmTime = time.Second

// Warm reads the named secrets, at most 20, while a function starts; "" is none.
// It makes one call, whatever their number. What fails, all or one of them, is
// read again, and reported, when it is needed.
func (s *Store) Warm(ctx context.Context, names ...string) {
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	var wanted []string
	for _, name := range names {
		if name != "" && !slices.Contains(wanted, name) {
			wanted = append(wanted, name)
		}
	}
	switch len(wanted) {
	case 0:
	case 1:
		_, _ = s.get(ctx, wanted[0], current, false)
	default:
		s.batch(ctx, wanted)
	}
}

// batch reads the named secrets by one call and keeps what it answers. A name
// may be an ARN: the answer has both, and the cache goes by what was asked for.
// Its reference (API_BatchGetSecretValue, 2026-11-23) does not say which version
// it returns, so the stages in the answer do.
func (s *Store) batch(ctx context.Context, names []string) {
	now := s.Now()
	out, err := s.API.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: names})
	if err != nil {
		return
	}
	for _, v := range out.SecretValues {
		for _, name := range names {
			if name != aws.ToString(v.Name) && name != aws.ToString(v.ARN) || !slices.Contains(v.VersionStages, current) {
				continue
			}
			if e := s.entry(name + "@" + current); e.acquire(ctx) == nil {
				s.serve(e, document(v.SecretString, v.SecretBinary), now)
				e.release()
			}
		}
	}
}
