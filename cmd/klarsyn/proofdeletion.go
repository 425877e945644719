package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"klarsyn/api"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/policy/audit/verify"
	"klarsyn/retention"
)

func proofDeletionCommand(std stdio) *cobra.Command {
	var c common
	var clip, out, server, tokenFile string
	cmd := &cobra.Command{
		Use: "deletion", Short: "Prove that a clip was deleted",
		Long: `deletion writes a proof that a clip was deleted, and when: what is left of it (camera, permit, time, hash of the sealed
bytes, deadline, when it was unreadable, when a listing found nothing; no picture), the entries of the log that say so, and
their way to a signed checkpoint. Whoever has the log's public key checks it with klarsyn verify deletion, without asking
anybody. Asking for it is an entry of the log.

With --server it is asked for by the right of whoever logged in: auditors and compliance officers may.

Exit code: 0 the proof is written, 1 the clip is not deleted, 2 wrong use.`,
		Example: "  klarsyn proof deletion --data /var/lib/klarsyn --clip 01KAW4D3ZJ7Q0V6Y3R9T5B2M8N -o deletion.json\n" +
			"  klarsyn proof deletion --server https://square.example --token-file token --clip 01KAW4D3ZJ7Q0V6Y3R9T5B2M8N -o deletion.json\n" +
			"  klarsyn verify deletion --proof deletion.json --key audit.pub",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkClipID(clip); err != nil {
				return err
			}
			var text string
			var err error
			switch {
			case (server == "") == (c.data == ""):
				return usageError{errors.New("want one of --data DIR, where the square lies, and --server URL with --token-file")}
			case server != "":
				text, err = askDeletionProof(cmd.Context(), server, tokenFile, clip)
			default:
				var s *site
				if s, err = c.open(cmd.Context(), std, 0, false); err == nil {
					text, err = s.proveDeletion(cmd.Context(), policy.Subject{Name: commandActor()}, clip)
					err = errors.Join(err, s.close())
				}
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, []byte(text), 0o600); err != nil {
				return fmt.Errorf("write the proof: %w", err)
			}
			return nil
		},
	}
	c.optionalFlags(cmd)
	cmd.Flags().StringVar(&clip, "clip", "", "id of the clip (required)")
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write (required)")
	cmd.Flags().StringVar(&server, "server", "", "ask the server there, by its interface, instead of --data")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "file with the token that klarsyn login wrote, for --server")
	require(cmd, "clip")
	require(cmd, "output")
	return cmd
}

// checkClipID refuses what no clip can be called.
func checkClipID(id string) error {
	if parsed, err := ulid.ParseStrict(id); err != nil || parsed.String() != id {
		return usageError{fmt.Errorf("--clip %.60q is no clip's id: want 26 letters and digits, as klarsyn and its page show them", id)}
	}
	return nil
}

// proveDeletion logs that somebody asks, and proves that a clip was deleted; or says why there is nothing to prove.
func (s *site) proveDeletion(ctx context.Context, who policy.Subject, clip string) (string, error) {
	row, err := s.catalogue(commandActor()).Clip(ctx, clip)
	if errors.Is(err, retention.ErrNotFound) {
		return "", fmt.Errorf("clip %s: %w", clip, err)
	}
	if err != nil {
		return "", err
	}
	if row.State != retention.Deleted {
		return "", notDeleted(row)
	}
	if err := s.log.Record(ctx, policy.LogReadEntry(who, policy.LogQuestion{Object: policy.KindClip.Of(clip), Proof: "deletion"})); err != nil {
		return "", err
	}
	return provenDeletion(ctx, s.log, clip)
}

// provenDeletion is the text of the proof.
func provenDeletion(ctx context.Context, log *audit.Log, clip string) (string, error) {
	p, err := log.ProveDeletion(ctx, clip)
	if errors.Is(err, verify.ErrNotProven) {
		return "", fmt.Errorf("the log and the catalogue do not say the same of clip %s: run klarsyn fsck (%w)", clip, err)
	}
	if err != nil {
		return "", err
	}
	return p.Format()
}

// deletionProofs gives proofs of deletion to the server.
type deletionProofs struct{ log *audit.Log }

func (d deletionProofs) ProveDeletion(ctx context.Context, clip string) ([]byte, error) {
	text, err := provenDeletion(ctx, d.log, clip)
	if errors.Is(err, audit.ErrNotYet) {
		err = api.ErrProofPending
	}
	return []byte(text), err
}

// notDeleted says where a clip stands instead.
func notDeleted(c retention.Clip) error {
	deadline := c.Deadline.UTC().Format(time.RFC3339)
	switch {
	case c.State == retention.Deleting:
		return fmt.Errorf("clip %s is not deleted yet: its deadline was %s and nobody can read it any more, but its bytes were not seen to be gone", c.ID, deadline)
	case c.Held():
		return fmt.Errorf("clip %s is not deleted: it is %s, its deadline is %s, and %d holds keep it", c.ID, c.State, deadline, c.Holds)
	}
	return fmt.Errorf("clip %s is not deleted: it is %s, and its deadline is %s", c.ID, c.State, deadline)
}

// askDeletionProof gets the proof from a server.
func askDeletionProof(ctx context.Context, server, tokenFile, clip string) (string, error) {
	d, err := newRemoteDesk(server, tokenFile)
	if err != nil {
		return "", err
	}
	var text []byte
	err = d.ask(ctx, http.MethodGet, "/api/v1/clips/"+clip+"/deletion-proof", nil, nil, &text)
	var refused *refusedError
	if errors.As(err, &refused) && refused.status == http.StatusNotFound {
		return "", errors.New(refused.said) // asked rightly: it is the clip that is not there
	}
	if err == nil {
		if _, err = verify.ParseDeletionProof(string(text)); err != nil {
			err = fmt.Errorf("the server's answer is no proof of deletion: is it klarsyn serve? %w", err)
		}
	}
	return string(text), err
}
