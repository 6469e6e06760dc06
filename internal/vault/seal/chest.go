package seal

import (
	"context"

	"chatelaine.dev/internal/fault"
)

// Settings keeps bytes by name.
type Settings interface {
	// Get returns a setting; fault.NotFound if it was never put.
	Get(ctx context.Context, name string) ([]byte, error)
	// Add stores a setting unless it is there, and returns the one that is.
	Add(ctx context.Context, name string, value []byte) ([]byte, error)
	// Put stores a setting, over an older one.
	Put(ctx context.Context, name string, value []byte) error
}

// Chest keeps sealed settings of one holder, such as "pki", under a data key of its own.
type Chest struct {
	*Box
	holder string
	store  Settings
}

// OpenChest opens a holder's chest, and makes its data key on first use. A wrong root
// key is ErrSealed.
func OpenChest(ctx context.Context, root *Root, store Settings, holder string) (*Chest, error) {
	name := "datakey/" + holder
	wrapped, err := store.Get(ctx, name)
	if fault.Is(err, fault.NotFound) {
		var fresh []byte
		if _, fresh, err = root.NewDataKey(holder); err != nil {
			return nil, err
		}
		wrapped, err = store.Add(ctx, name, fresh)
	}
	if err != nil {
		return nil, err
	}
	box, err := root.OpenDataKey(holder, wrapped)
	if err != nil {
		return nil, err
	}
	return &Chest{Box: box, holder: holder, store: store}, nil
}

func (c *Chest) id(name string) Identity {
	return Identity{Vault: c.holder, Kind: "setting", Name: name}
}

// Get returns a sealed setting; fault.NotFound if it was never put.
func (c *Chest) Get(ctx context.Context, name string) ([]byte, error) {
	b, err := c.store.Get(ctx, c.holder+"/"+name)
	if err != nil {
		return nil, err
	}
	return c.Box.Open(c.id(name), b)
}

// Put seals and stores a setting, over an older one.
func (c *Chest) Put(ctx context.Context, name string, value []byte) error {
	return c.store.Put(ctx, c.holder+"/"+name, c.Box.Seal(c.id(name), value))
}

// GetOrMake returns a sealed setting, made by fresh on first use.
func (c *Chest) GetOrMake(ctx context.Context, name string, fresh func() ([]byte, error)) ([]byte, error) {
	value, err := c.Get(ctx, name)
	if !fault.Is(err, fault.NotFound) {
		return value, err
	}
	if value, err = fresh(); err != nil {
		return nil, err
	}
	stored, err := c.store.Add(ctx, c.holder+"/"+name, c.Box.Seal(c.id(name), value))
	if err != nil {
		return nil, err
	}
	return c.Box.Open(c.id(name), stored)
}
