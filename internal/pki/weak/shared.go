package weak

import "math/big"

// Shared finds the moduli that share a prime with another of the list, by Bernstein's
// batch GCD ("How to find smooth parts of integers", 2004): a product tree up, and the
// remainders modulo the squares down again. It costs about n log² n for n moduli, where
// looking at each pair costs n². out[i] is true when moduli[i] can be factored. A modulus
// that is in the list twice is not a finding by itself: two certificates may be of one key.
func Shared(moduli []*big.Int) (out []bool) {
	out = make([]bool, len(moduli))
	first := map[string]int{}
	var distinct []*big.Int
	place := make([]int, len(moduli))
	for i, n := range moduli {
		key := string(n.Bytes())
		at, ok := first[key]
		if !ok {
			at = len(distinct)
			first[key] = at
			distinct = append(distinct, n)
		}
		place[i] = at
	}
	found := sharedDistinct(distinct)
	for i := range moduli {
		out[i] = found[place[i]]
	}
	return out
}

func sharedDistinct(moduli []*big.Int) []bool {
	found := make([]bool, len(moduli))
	if len(moduli) < 2 {
		return found
	}
	levels := [][]*big.Int{moduli}
	for top := moduli; len(top) > 1; {
		next := make([]*big.Int, (len(top)+1)/2)
		for i := range next {
			next[i] = top[2*i]
			if 2*i+1 < len(top) {
				next[i] = new(big.Int).Mul(top[2*i], top[2*i+1])
			}
		}
		levels, top = append(levels, next), next
	}
	rest := levels[len(levels)-1]
	for l := len(levels) - 2; l >= 0; l-- {
		below := make([]*big.Int, len(levels[l]))
		for i, n := range levels[l] {
			below[i] = new(big.Int).Mod(rest[i/2], new(big.Int).Mul(n, n))
		}
		rest = below
	}
	for i, n := range moduli {
		// rest[i] is the product of all modulo n²; divided by n it is the product of the
		// others modulo n.
		others := new(big.Int).Div(rest[i], n)
		found[i] = new(big.Int).GCD(nil, nil, others, n).Cmp(one) != 0
	}
	return found
}

// Across finds which moduli of a share a prime with one of b, when each list was looked
// at by Shared alone. A modulus that is in both lists is passed over.
func Across(a, b []*big.Int) (out []bool) {
	out = make([]bool, len(a))
	if len(a) == 0 || len(b) == 0 {
		return out
	}
	in := make(map[string]bool, len(a))
	for _, n := range a {
		in[string(n.Bytes())] = true
	}
	product := productOf(b, in)
	for i, n := range a {
		out[i] = new(big.Int).GCD(nil, nil, new(big.Int).Mod(product, n), n).Cmp(one) != 0
	}
	return out
}

// productOf multiplies by halves, which keeps the factors of one size.
func productOf(list []*big.Int, without map[string]bool) *big.Int {
	var rest []*big.Int
	for _, n := range list {
		if !without[string(n.Bytes())] {
			rest = append(rest, n)
		}
	}
	if len(rest) == 0 {
		return big.NewInt(1)
	}
	for len(rest) > 1 {
		half := make([]*big.Int, 0, (len(rest)+1)/2)
		for i := 0; i+1 < len(rest); i += 2 {
			half = append(half, new(big.Int).Mul(rest[i], rest[i+1]))
		}
		if len(rest)%2 == 1 {
			half = append(half, rest[len(rest)-1])
		}
		rest = half
	}
	return rest[0]
}
