package main

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/internal/vault/hsm/quorum"
)

func hsmCommand() *cobra.Command {
	c := &cobra.Command{Use: "hsm", Short: "Managed HSMs: the security domain", GroupID: keepGroup}
	c.AddCommand(hsmRestoreBlobCommand())
	return c
}

type hsmRestoreBlobOptions struct {
	domain   string
	transfer string
	holders  []string
}

func hsmRestoreBlobCommand() *cobra.Command {
	var o hsmRestoreBlobOptions
	c := &cobra.Command{
		Use: "restore-blob DOMAIN", Short: "Open a security domain with a quorum of its holders, for another HSM", Args: cobra.ExactArgs(1),
		Long: `Open a security domain with the keys of enough of its holders, and print it encrypted to
the transfer key of another HSM: the body of POST /securitydomain/upload there.

It calls no server. Run it on a machine apart: the keys of the holders, and what they
open, are in its memory. DOMAIN is the answer of POST /securitydomain/download, or its
value alone; what "az keyvault security-domain download" has written is good too.`,
		Example: `  chatelaine hsm restore-blob domain.json --transfer-key transfer.json \
    --holder alice.cer:alice.key --holder bob.cer:bob.key > upload.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.domain = args[0]
			return runHSMRestoreBlob(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&o.transfer, "transfer-key", "", "the answer of GET /securitydomain/upload of the other HSM, or its certificate in PEM")
	c.Flags().StringArrayVar(&o.holders, "holder", nil, "certificate and private key of a holder, CERT:KEY, or one file with both in PEM; for each holder")
	_ = c.MarkFlagRequired("transfer-key")
	_ = c.MarkFlagRequired("holder")
	return c
}

func runHSMRestoreBlob(_ context.Context, o hsmRestoreBlobOptions, out io.Writer) error {
	domain, err := readSmall(o.domain)
	if err != nil {
		return err
	}
	var answer struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(domain, &answer) == nil && answer.Value != "" {
		domain = []byte(answer.Value)
	}
	to, err := readTransferKey(o.transfer)
	if err != nil {
		return err
	}
	var holders []quorum.Holder
	for _, h := range o.holders {
		holder, err := readHolder(h)
		if err != nil {
			return err
		}
		holders = append(holders, holder)
	}
	secrets, err := quorum.Open(domain, holders)
	if err != nil {
		return fmt.Errorf("%s: %w", o.domain, err)
	}
	blob, err := quorum.Reseal(secrets, to)
	if err != nil {
		return err
	}
	answer.Value = string(blob)
	return json.NewEncoder(out).Encode(answer)
}

// readSmall reads a file that no part of a security domain is larger than.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, 2*quorum.MaxFile+1))
	if err == nil && len(b) > 2*quorum.MaxFile {
		err = fmt.Errorf("%s is too large for a part of a security domain", name)
	}
	return b, err
}

// readTransferKey reads a certificate in PEM, or the answer of GET /securitydomain/upload.
func readTransferKey(name string) (*x509.Certificate, error) {
	text, err := readSmall(name)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(text); block != nil {
		return x509.ParseCertificate(block.Bytes)
	}
	var in struct {
		Key string `json:"transfer_key"` // JSON as text
	}
	var key struct {
		Chain []string `json:"x5c"`
	}
	if json.Unmarshal(text, &in) != nil || json.Unmarshal([]byte(in.Key), &key) != nil || len(key.Chain) == 0 {
		return nil, fmt.Errorf("%s is neither the answer of GET /securitydomain/upload nor a certificate in PEM", name)
	}
	der, err := base64.StdEncoding.DecodeString(key.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("%s: x5c: %w", name, err)
	}
	return x509.ParseCertificate(der)
}

// readHolder reads CERT:KEY, or one file with both.
func readHolder(names string) (h quorum.Holder, err error) {
	certFile, keyFile, apart := strings.Cut(names, ":")
	files := []string{certFile}
	if apart {
		files = append(files, keyFile)
	}
	for _, name := range files {
		text, err := readSmall(name)
		if err != nil {
			return h, err
		}
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if err := take(&h, block); err != nil {
				return h, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if h.Certificate == nil || h.Key == nil {
		return h, fmt.Errorf("%s: want a certificate and an RSA private key, both in PEM", names)
	}
	if !h.Key.PublicKey.Equal(h.Certificate.PublicKey) {
		return h, fmt.Errorf("%s: the private key is not that of the certificate", names)
	}
	return h, nil
}

func take(h *quorum.Holder, block *pem.Block) (err error) {
	switch block.Type {
	case "CERTIFICATE":
		if h.Certificate == nil {
			h.Certificate, err = x509.ParseCertificate(block.Bytes)
		}
	case "RSA PRIVATE KEY":
		h.Key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return err
		}
		h.Key, _ = key.(*rsa.PrivateKey)
	case "ENCRYPTED PRIVATE KEY":
		return errors.New("the private key is encrypted; decrypt it first: openssl pkey -in KEY -out PLAIN")
	}
	return err
}
