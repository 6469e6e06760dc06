package releasepolicy

import "encoding/json"

// MarshalJSON writes the policy in the one form in which it is kept and shown.
func (p Policy) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Version string      `json:"version"`
		AnyOf   []Authority `json:"anyOf"`
	}{version, p.Authorities})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Policy) UnmarshalJSON(data []byte) (err error) {
	*p, err = Parse(data)
	return err
}

// MarshalJSON writes the authority with its conditions.
func (a Authority) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Authority string      `json:"authority"`
		AnyOf     []Condition `json:"anyOf,omitempty"`
		AllOf     []Condition `json:"allOf,omitempty"`
	}{a.URL, a.Condition.AnyOf, a.Condition.AllOf})
}

// MarshalJSON writes the condition.
func (c Condition) MarshalJSON() ([]byte, error) {
	if len(c.AnyOf)+len(c.AllOf) > 0 {
		return json.Marshal(struct {
			AnyOf []Condition `json:"anyOf,omitempty"`
			AllOf []Condition `json:"allOf,omitempty"`
		}{c.AnyOf, c.AllOf})
	}
	name, err := json.Marshal(c.Claim.Name)
	if err != nil {
		return nil, err
	}
	return []byte(`{"claim":` + string(name) + `,"` + string(c.Claim.Operator) + `":` + string(c.Claim.Value) + `}`), nil
}
