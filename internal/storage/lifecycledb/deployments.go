package lifecycledb

import (
	"context"
	"time"

	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/storage"
)

// place names a target, at which one deployment at a time may work.
func place(d deployment.Deployment) string {
	if !d.State.Live() {
		return ""
	}
	return d.Lineage + "/" + d.Target.ID
}

// InsertDeployment implements deployment.Store.
func (s *Store) InsertDeployment(ctx context.Context, d deployment.Deployment) error {
	sealed, err := s.seal(deploymentKind, d.ID, d.Revision, d)
	if err != nil {
		return err
	}
	once := ""
	if d.Request != "" {
		once = d.Request + "/" + d.Target.ID
	}
	res, err := s.db.Exec(ctx, `INSERT INTO lifecycle_deployments (id, request, lineage, state, guard, once, wake, revision, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		d.ID, d.Request, d.Lineage, string(d.State), optional(place(d)), optional(once), storage.Micros(d.Wake), d.Revision, sealed)
	return storage.Inserted(res, err, "Exists")
}

// UpdateDeployment implements deployment.Store.
func (s *Store) UpdateDeployment(ctx context.Context, d deployment.Deployment) error {
	sealed, err := s.seal(deploymentKind, d.ID, d.Revision, d)
	if err != nil {
		return err
	}
	res, err := s.db.Exec(ctx, `UPDATE lifecycle_deployments SET state = $1, guard = $2, wake = $3, revision = $4, sealed = $5 WHERE id = $6 AND revision = $7`,
		string(d.State), optional(place(d)), storage.Micros(d.Wake), d.Revision, sealed, d.ID, d.Revision-1)
	return storage.Changed(res, err, "Exists")
}

// Deployment implements deployment.Store.
func (s *Store) Deployment(ctx context.Context, id string) (deployment.Deployment, error) {
	return one[deployment.Deployment](ctx, s, deploymentKind, `SELECT id, revision, sealed FROM lifecycle_deployments WHERE id = $1`, id)
}

// Deployments implements deployment.Store.
func (s *Store) Deployments(ctx context.Context, q deployment.Query) ([]deployment.Deployment, error) {
	var c conditions
	c.add("lineage = $%d", q.Lineage)
	c.add("request = $%d", q.Request)
	c.add("state = $%d", string(q.State))
	c.add("id < $%d", q.After)
	query := `SELECT id, revision, sealed FROM lifecycle_deployments` + c.where() + ` ORDER BY id DESC LIMIT ` + c.limit(q.Limit)
	return all[deployment.Deployment](ctx, s, deploymentKind, query, c.args...)
}

// OverdueDeployments implements deployment.Store.
func (s *Store) OverdueDeployments(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return s.ids(ctx, `SELECT id FROM lifecycle_deployments WHERE wake > 0 AND wake <= $1 ORDER BY wake LIMIT $2`, storage.Micros(now), limit)
}
