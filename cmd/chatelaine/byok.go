package main

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/internal/vault/keys/transfer"
	"chatelaine.dev/internal/vault/keystore"
)

type byokOptions struct {
	key, receiver, kid, out string
	symmetric, request      bool
	in                      io.Reader
	stdout, stderr          io.Writer
}

func byokCommand() *cobra.Command {
	var o byokOptions
	c := &cobra.Command{
		Use: "byok KEY --for KEK --out FILE", Short: "Encrypt a key for a vault, as a .byok file", GroupID: keepGroup, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.key, o.in, o.stdout, o.stderr = args[0], cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			return runBYOK(o)
		},
	}
	c.Long = `Encrypt a key for a vault, as a .byok file: bring your own key, without a vendor's tool.

KEY is a private key in PEM, or with --symmetric the bytes of a symmetric one. It is
encrypted for the key exchange key (KEK), an RSA-HSM key of the vault whose only operation
is import, and opens there alone. KEK is its public half: the answer of GET /keys/{name},
or a PEM file with --kid. Nothing is sent anywhere.`
	c.Example = `  chatelaine byok signing.pem --for kek.json --out signing.byok
  az keyvault key import --vault-name payroll --name signing --kty EC --curve P-256 --byok-file signing.byok
  chatelaine byok signing.pem --for kek.json --request --out request.json   # the body of PUT /keys/signing`
	f := c.Flags()
	f.StringVar(&o.receiver, "for", "", "file with the public half of the key exchange key")
	f.StringVar(&o.kid, "kid", "", "id of the key exchange key, https://{vault}/keys/{name}/{version}, where the file does not tell")
	f.StringVar(&o.out, "out", "", "file to write; - for standard output")
	f.BoolVar(&o.symmetric, "symmetric", false, "KEY holds the bytes of a symmetric key")
	f.BoolVar(&o.request, "request", false, "write the body of the import request instead of the .byok file")
	_ = c.MarkFlagRequired("for")
	_ = c.MarkFlagRequired("out")
	return c
}

func runBYOK(o byokOptions) error {
	file, err := readInput(o.in, o.receiver)
	if err != nil {
		return err
	}
	kek, err := readReceiver(file)
	if err != nil {
		return fmt.Errorf("%s: %w", o.receiver, err)
	}
	if o.kid != "" {
		kek.id = o.kid
	}
	if !strings.HasPrefix(kek.id, "https://") || !strings.Contains(kek.id, "/keys/") {
		return errors.New("the id of the key exchange key is missing: name it with --kid https://{vault}/keys/{name}/{version}")
	}
	secret, err := readInput(o.in, o.key)
	if err != nil {
		return err
	}
	plain, spec, err := readKey(secret, o.symmetric)
	if err != nil {
		return fmt.Errorf("%s: %w", o.key, err)
	}
	defer clear(plain)
	blob, err := transfer.Seal(transfer.SHA1, kek.id, kek.public, plain)
	if err != nil {
		return err
	}
	blob.Generator = "chatelaine " + version()
	out, err := json.Marshal(blob)
	if err == nil && o.request {
		out, err = importRequest(spec, out)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(o.stderr, "a key of type %s, for %s\n", spec, kek.id)
	if o.out == "-" {
		_, err = fmt.Fprintf(o.stdout, "%s\n", out)
		return err
	}
	return os.WriteFile(filepath.Clean(o.out), append(out, '\n'), 0o600)
}

// receiver is a key exchange key's public half.
type receiver struct {
	id     string
	public *rsa.PublicKey
}

// readReceiver reads a key in PEM, a JSON Web Key, or a KeyBundle that holds one.
func readReceiver(file []byte) (r receiver, err error) {
	if block, _ := pem.Decode(file); block != nil {
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return r, fmt.Errorf("want a public key in PEM: %w", err)
		}
		var ok bool
		if r.public, ok = pub.(*rsa.PublicKey); !ok {
			return r, errors.New("want an RSA key")
		}
		return r, nil
	}
	type key struct {
		ID   string   `json:"kid"`
		Type string   `json:"kty"`
		Ops  []string `json:"key_ops"`
		N    string   `json:"n"`
		E    string   `json:"e"`
	}
	var in struct {
		key
		Key *key `json:"key"`
	}
	if err := json.Unmarshal(file, &in); err != nil {
		return r, errors.New("want the answer of GET /keys/{name}, or a public key in PEM")
	}
	k := in.key
	if in.Key != nil {
		k = *in.Key
	}
	if k.Type != "RSA-HSM" || len(k.Ops) != 1 || k.Ops[0] != "import" {
		return r, fmt.Errorf("want a key of type RSA-HSM whose key_ops are [\"import\"]; this one is of type %q with %q", k.Type, k.Ops)
	}
	n, err := base64.RawURLEncoding.DecodeString(k.N)
	if err != nil || len(n) == 0 {
		return r, errors.New("the part n of the key is missing, or is not base64url")
	}
	e, err := base64.RawURLEncoding.DecodeString(k.E)
	if err != nil || len(e) == 0 || len(e) > 4 {
		return r, errors.New("the part e of the key is missing, or is not base64url")
	}
	r.id, r.public = k.ID, &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	return r, nil
}

// readKey returns what is wrapped: PKCS #8, or the bytes of a symmetric key.
func readKey(file []byte, symmetric bool) (plain []byte, spec keystore.Spec, err error) {
	if symmetric {
		spec, err = keystore.SpecOfKey(keystore.Secret(file))
		return bytes.Clone(file), spec, err
	}
	block, _ := pem.Decode(file)
	for block != nil && !strings.HasSuffix(block.Type, "PRIVATE KEY") { // openssl writes the curve before the key
		block, file = pem.Decode(file)
	}
	if block == nil {
		return nil, spec, errors.New("want a private key in PEM, or the bytes of a symmetric one with --symmetric")
	}
	var key crypto.PrivateKey
	switch block.Type {
	case "PRIVATE KEY":
		key, err = keystore.ParsePKCS8(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("it is an %s; first decrypt it: openssl pkcs8 -topk8 -nocrypt -in KEY", block.Type)
	}
	if err != nil {
		return nil, spec, fmt.Errorf("read the private key: %w", err)
	}
	if spec, err = keystore.SpecOfKey(key); err != nil {
		return nil, spec, err
	}
	plain, err = keystore.MarshalPKCS8(key)
	return plain, spec, err
}

// importRequest is KeyImportParameters with a .byok file in it.
func importRequest(s keystore.Spec, file []byte) ([]byte, error) {
	key := map[string]string{"kty": string(s.Type) + "-HSM", "key_hsm": base64.RawURLEncoding.EncodeToString(file)}
	if s.Curve != "" {
		key["crv"] = s.Curve
	}
	return json.Marshal(map[string]any{"key": key})
}
