package deployment

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
)

// handshakeTimeout bounds one look at one endpoint.
const handshakeTimeout = 10 * time.Second

// Dialer connects, within what the product allows to be connected to.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// served is what an endpoint shows.
type served struct {
	certificate []byte
	chain       [][]byte
	tls         inventory.TLS
}

// look makes a handshake. Whom the certificate names and who issued it is not asked: the
// question is only which certificate is there.
func look(ctx context.Context, d Dialer, e lineage.Endpoint) (served, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := d.DialContext(ctx, "tcp", e.Address())
	if err != nil {
		return served{}, fault.Wrap(err, fault.Unavailable, "Unreachable", fmt.Sprintf("endpoint %s does not answer", e.Address()))
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{
		ServerName:         e.SNI,
		InsecureSkipVerify: true,             //nolint:gosec // see above
		MinVersion:         tls.VersionTLS10, // the service decides
		CipherSuites:       everySuite(),
	})
	err = conn.HandshakeContext(ctx)
	state := conn.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		// A service that demands a client certificate ends the handshake after it has shown its own.
		if err == nil {
			err = errors.New("no certificate")
		}
		return served{}, fault.Wrap(err, fault.Unavailable, "NoHandshake", fmt.Sprintf("endpoint %s ends the handshake", e.Address()))
	}
	s := served{certificate: state.PeerCertificates[0].Raw}
	for _, c := range state.PeerCertificates[1:] {
		s.chain = append(s.chain, c.Raw)
	}
	s.tls = inventory.TLS{Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite)}
	if state.CurveID != 0 {
		s.tls.Group = state.CurveID.String()
	}
	return s, nil
}

// everySuite lets old services answer too.
func everySuite() []uint16 {
	var ids []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// pauses lie between looks at an endpoint that does not serve the certificate yet: a
// reloading program lets its old workers end first.
func pauses() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{100 * ms, 300 * ms, 600 * ms, 1000 * ms, 2000 * ms, 3000 * ms, 4000 * ms, 4000 * ms}
}

// prove looks at an endpoint until it serves the certificate, as often as pauses allow.
func (s *Service) prove(ctx context.Context, e lineage.Endpoint, certificate []byte) (served, error) {
	waits := pauses()
	for try := 0; ; try++ {
		seen, err := look(ctx, s.Dialer, e)
		if err == nil && bytes.Equal(seen.certificate, certificate) {
			return seen, nil
		}
		if err == nil {
			err = fault.New(fault.Conflict, "OtherCertificate", "endpoint %s serves another certificate", e.Address())
		}
		if try == len(waits) {
			return served{}, err
		}
		if waitErr := s.Wait(ctx, waits[try]); waitErr != nil {
			return served{}, waitErr
		}
	}
}
