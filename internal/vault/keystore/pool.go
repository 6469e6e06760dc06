package keystore

import (
	"context"
	"crypto"
	"slices"
	"sync"
)

// Pool is the software keystore with some RSA keys made ahead, so that who asks for one
// does not wait: a key of 4096 bits takes seconds of a processor. One key is made at a
// time, and only when one is missing, so an idle pool costs nothing. Keys made ahead are
// in memory only; each is handed out once, and those left are wiped when the pool stops.
type Pool struct {
	*Software
	stock []stock

	mu      sync.Mutex
	ready   map[int][]ahead // by size in bits
	stopped bool
	stop    context.CancelFunc
	taken   chan struct{} // holds one token while something may be missing
}

// stock is how many keys of a size are kept.
type stock struct{ bits, keys int }

// ahead is a key that nobody has asked for yet.
type ahead struct {
	material Material
	public   crypto.PublicKey
}

// NewPool returns a pool that is empty until it is started.
func NewPool(s *Software) *Pool { return newPool(s, stock{2048, 2}, stock{3072, 1}, stock{4096, 1}) }

func newPool(s *Software, k ...stock) *Pool {
	return &Pool{Software: s, stock: k, ready: map[int][]ahead{}, stop: func() {}, taken: make(chan struct{}, 1)}
}

// Start begins to make keys. Call it when the server answers.
func (p *Pool) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop = cancel
	go p.fill(ctx)
}

// Stop ends the making and wipes what was made. It does not wait for the key that is
// being made, which is wiped when it comes.
func (p *Pool) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	p.stopped = true
	for _, keys := range p.ready {
		for _, k := range keys {
			clear(k.material)
		}
	}
	clear(p.ready)
}

// Generate hands out a key made ahead, or makes one.
func (p *Pool) Generate(ctx context.Context, spec Spec) (Material, crypto.PublicKey, error) {
	if spec.Type == RSA && ctx.Err() == nil {
		if k, ok := p.take(spec.Bits); ok {
			return k.material, k.public, nil
		}
	}
	return p.Software.Generate(ctx, spec)
}

func (p *Pool) take(bits int) (ahead, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := p.ready[bits]
	if len(keys) == 0 {
		return ahead{}, false
	}
	k := keys[0]
	p.ready[bits] = slices.Delete(keys, 0, 1) // clears the place that became free
	select {
	case p.taken <- struct{}{}:
	default:
	}
	return k, true
}

// missing is the size of the next key to make, or 0 when none is missing.
func (p *Pool) missing() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stock {
		if len(p.ready[s.bits]) < s.keys {
			return s.bits
		}
	}
	return 0
}

// fill makes what is missing until ctx ends. It takes no turn: whoever asks for a key now
// shall not wait for one that nobody asked for.
func (p *Pool) fill(ctx context.Context) {
	for ctx.Err() == nil {
		var err error
		bits := p.missing()
		if bits != 0 {
			err = p.add(bits)
		}
		if bits != 0 && err == nil {
			continue
		}
		select { // after an error too: then Generate meets the same, and tells its caller
		case <-ctx.Done():
		case <-p.taken:
		}
	}
}

func (p *Pool) add(bits int) error {
	key, err := generate(Spec{Type: RSA, Bits: bits})
	if err != nil {
		return err
	}
	m, pub, err := pack(key)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		clear(m)
		return nil
	}
	p.ready[bits] = append(p.ready[bits], ahead{m, pub})
	return nil
}
