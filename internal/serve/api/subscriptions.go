package api

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/event/subscription"
)

func (a *door) subscriptionOperations() {
	const tag = "subscriptions"
	read := operation{action: subscription.Read, scope: "/"}
	write := operation{action: subscription.Write, scope: "/"}
	list := read.as("listSubscriptions", http.MethodGet, "/subscriptions", "List subscriptions to events, by name, without their secrets")
	list.scope = "{source}"
	register(a, tag, list, a.listSubscriptions)
	create := write.as("createSubscription", http.MethodPost, "/subscriptions", "Have events sent to a webhook").answering(http.StatusCreated)
	create.scope = "{source}"
	create.about = "The endpoint is asked whether it agrees: by the SubscriptionValidationEvent of Event Grid, or by OPTIONS with WebHook-Request-Origin. " +
		"Without its consent the subscription stays pending, and problem says why; test it to ask again."
	register(a, tag, create, a.createSubscription)
	register(a, tag, read.as("getSubscription", http.MethodGet, "/subscriptions/{subscription}", "Get a subscription, with the number of events that wait and of dead letters"), a.getSubscription)
	remove := write.as("deleteSubscription", http.MethodDelete, "/subscriptions/{subscription}", "Delete a subscription and what waits for it").answering(http.StatusNoContent)
	register(a, tag, remove, a.deleteSubscription)
	register(a, tag, write.as("testSubscription", http.MethodPost, "/subscriptions/{subscription}/test", "Ask the endpoint once more if it has not agreed; else send it an event"), a.testSubscription)
	register(a, tag, read.as("listDeadLetters", http.MethodGet, "/subscriptions/{subscription}/dead-letters", "List events that could not be delivered, the latest given up first"), a.listDeadLetters)
	register(a, tag, write.as("redeliverLetters", http.MethodPost, "/subscriptions/{subscription}/redeliver", "Send dead letters again"), a.redeliverLetters)
}

func (a *door) listSubscriptions(ctx context.Context, c access.Caller, in *struct {
	Paging
	Source string `query:"source" maxLength:"512" doc:"those to this path and everything below it; default /"`
}) (*page[subscription.Subscription], error) {
	list, err := a.Subscriptions.List(ctx, c, in.Source, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].Name })), nil
}

// subscriptionDraft is a subscription to be made. Endpoint and key are never shown again.
type subscriptionDraft struct {
	Name          string   `json:"name" maxLength:"64"`
	Source        string   `json:"source,omitempty" maxLength:"512" default:"/" doc:"this path and everything below it, such as /vaults/payroll"`
	Types         []string `json:"types,omitempty" maxItems:"50" doc:"types, or beginnings that end with *; all when empty"`
	SubjectPrefix string   `json:"subjectPrefix,omitempty" maxLength:"512" doc:"without regard to case"`
	SubjectSuffix string   `json:"subjectSuffix,omitempty" maxLength:"512" doc:"without regard to case"`
	Endpoint      string   `json:"endpoint" maxLength:"2048" doc:"https://host/path; its query is not shown again"`
	Schema        string   `json:"schema,omitempty" enum:"CloudEventSchemaV1_0,EventGridSchema" default:"CloudEventSchemaV1_0"`
	Key           string   `json:"key,omitempty" maxLength:"200" writeOnly:"true" doc:"whsec_ and base64 of 24 to 64 bytes: signs each delivery as standardwebhooks.com has it"`
}

func (d subscriptionDraft) draft() subscription.Draft {
	return subscription.Draft{
		Name:     d.Name,
		Filter:   subscription.Filter{Source: d.Source, Types: d.Types, SubjectPrefix: d.SubjectPrefix, SubjectSuffix: d.SubjectSuffix},
		Endpoint: access.NewSecret(d.Endpoint), Schema: subscription.Schema(d.Schema), Key: access.NewSecret(d.Key),
	}
}

func (a *door) createSubscription(ctx context.Context, c access.Caller, in *struct{ Body subscriptionDraft }) (*answer[subscription.Subscription], error) {
	return answerOf(a.Subscriptions.Create(ctx, c, in.Body.draft()))
}

// SubscriptionPath names a subscription.
type SubscriptionPath struct {
	Subscription string `path:"subscription" maxLength:"100" doc:"id"`
}

func (a *door) getSubscription(ctx context.Context, c access.Caller, in *SubscriptionPath) (*answer[subscription.Subscription], error) {
	return answerOf(a.Subscriptions.Get(ctx, c, in.Subscription))
}

func (a *door) deleteSubscription(ctx context.Context, c access.Caller, in *SubscriptionPath) (*nothing, error) {
	return nil, a.Subscriptions.Delete(ctx, c, in.Subscription)
}

func (a *door) testSubscription(ctx context.Context, c access.Caller, in *SubscriptionPath) (*answer[subscription.Trial], error) {
	return answerOf(a.Subscriptions.Test(ctx, c, in.Subscription))
}

func (a *door) listDeadLetters(ctx context.Context, c access.Caller, in *struct {
	SubscriptionPath
	Paging
}) (*page[subscription.Letter], error) {
	l, err := a.Subscriptions.DeadLetters(ctx, c, in.Subscription, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(l.Letters, l.Next), nil
}

// redelivered is how many dead letters are sent again.
type redelivered struct {
	Count int `json:"count"`
}

func (a *door) redeliverLetters(ctx context.Context, c access.Caller, in *struct {
	SubscriptionPath
	Body struct {
		Events []string `json:"events,omitempty" maxItems:"1000" doc:"ids; up to 1000 of all when empty"`
	}
}) (*answer[redelivered], error) {
	n, err := a.Subscriptions.Redeliver(ctx, c, in.Subscription, in.Body.Events)
	return answerOf(redelivered{n}, err)
}
