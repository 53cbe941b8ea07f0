package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"nines/internal/inventory"
	"nines/internal/ledger"
	"nines/internal/yamlconf"
)

// maxChange bounds the body of a request that changes something, in bytes.
const maxChange = 4 << 20

// changes serves a request that changes something: f gets its body, one JSON
// document, and errors in it are the client's.
func changes(f func(*http.Request, *yamlconf.Doc) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		doc, err := readBody(w, r)
		var answer any
		if err == nil {
			answer, err = f(r, doc)
		}
		if err != nil {
			fail(w, r, explainChange(err))
			return
		}
		writeJSON(w, r, http.StatusOK, answer)
	})
}

func readBody(w http.ResponseWriter, r *http.Request) (*yamlconf.Doc, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &apiError{http.StatusUnsupportedMediaType, "send JSON, with the header Content-Type: application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChange))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &apiError{http.StatusRequestEntityTooLarge, "the body is longer than 4 MiB: send it in parts, or use nines inventory import"}
	case err != nil:
		return nil, badRequest("the body could not be read: %v", err)
	case !json.Valid(body):
		return nil, badRequest("the body is no JSON document")
	}
	doc, err := yamlconf.One("request", body)
	if err == nil && doc == nil {
		err = badRequest("the body is empty: docs/api.md says what it holds")
	}
	return doc, err
}

// explainChange gives mistakes of the client a status.
func explainChange(err error) error {
	var errs yamlconf.Errors
	var refusal inventory.Refusal
	switch {
	case errors.As(err, &errs):
		return badRequest("%v", errs)
	case errors.As(err, &refusal):
		return badRequest("%v", refusal)
	case errors.Is(err, ledger.ErrNotFound):
		return notFound("%v; GET /api/nines/v1/exclusions lists what there is", err)
	}
	return err
}
