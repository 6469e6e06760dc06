package issuance

import (
	"context"
	"fmt"
)

// maxSuccessors bounds a line of authorities of which each replaced the one before.
const maxSuccessors = 32

// line returns an authority and those that followed it. The last one issues: profiles and
// requests keep the name of the first, so that a rollover changes none of them.
func (s *Service) line(ctx context.Context, id string) ([]Issuer, error) {
	var line []Issuer
	for len(line) < maxSuccessors {
		i, err := s.d.Authorities.Issuer(ctx, id)
		if err != nil {
			return nil, err
		}
		line = append(line, i)
		if i.Successor == "" {
			return line, nil
		}
		id = i.Successor
	}
	return nil, fmt.Errorf("authority %s has more than %d successors", line[0].ID, maxSuccessors)
}
