package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxInput bounds what is read of a file or of standard input, in bytes.
const maxInput = 1 << 20

// readInput reads a file, or standard input when its name is a dash.
func readInput(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(filepath.Clean(name))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(b) > maxInput {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxInput)
	}
	return b, err
}

// asPEM returns PEM as it is, and wraps anything else.
func asPEM(kind string, b []byte) string {
	if block, _ := pem.Decode(b); block != nil {
		return string(b)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
}

// days is a duration that knows days, as a flag: 90s, 36h, 7d.
type days time.Duration

// Set implements pflag.Value.
func (d *days) Set(s string) error {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		count, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return fmt.Errorf("want a number of days such as 7d")
		}
		*d = days(time.Duration(count) * 24 * time.Hour)
		return nil
	}
	parsed, err := time.ParseDuration(s)
	if err != nil || parsed < 0 {
		return fmt.Errorf("want a duration such as 90s, 36h or 7d")
	}
	*d = days(parsed)
	return nil
}

// String implements pflag.Value.
func (d *days) String() string {
	if *d == 0 {
		return ""
	}
	if t := time.Duration(*d); t%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", t/(24*time.Hour))
	}
	return time.Duration(*d).String()
}

// Type implements pflag.Value.
func (d *days) Type() string { return "duration" }

// moment is a time as a flag: a date, a time of RFC 3339, or a duration ago.
type moment time.Time

// Set implements pflag.Value.
func (m *moment) Set(s string) error {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			*m = moment(t)
			return nil
		}
	}
	var ago days
	if err := ago.Set(s); err != nil {
		return fmt.Errorf("want a date (2027-03-15), a time (2027-03-15T10:00:00Z) or how long ago (24h, 7d)")
	}
	*m = moment(time.Now().Add(-time.Duration(ago)))
	return nil
}

// String implements pflag.Value; it is the form of the API.
func (m *moment) String() string {
	if time.Time(*m).IsZero() {
		return ""
	}
	return time.Time(*m).UTC().Format(time.RFC3339)
}

// Type implements pflag.Value.
func (m *moment) Type() string { return "time" }
