package main

import (
	"context"

	"klarsyn/retention/catalogue"
)

// answered keeps who removes stray objects from doing so between a restore and an operator's word: what no row explains then may be
// lawful footage that a newer backup would open.
type answered struct{ *catalogue.Catalogue }

// Owner says of a stray that it is owned, until somebody has answered for it.
func (a answered) Owner(ctx context.Context, key string) (known, live bool, err error) {
	known, live, err = a.Catalogue.Owner(ctx, key)
	if err != nil || live {
		return known, live, err
	}
	e, err := a.Epoch(ctx)
	if err != nil {
		return known, live, err
	}
	return known || e.Unreconciled, e.Unreconciled, nil
}
