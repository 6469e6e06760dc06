package storage

// Waiting is the number of changes that wait for the next commit.
func (d *DB) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}
