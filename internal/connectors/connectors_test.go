package connectors

import (
	"os"
	"slices"
	"testing"

	"chatelaine.dev/internal/fault"
)

func TestEveryConnectorIsWhole(t *testing.T) {
	if err := Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryFolderIsListed(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, d := range All() {
		listed = append(listed, d.Name)
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(listed, e.Name()) {
			t.Errorf("folder %s is not in the list", e.Name())
		}
	}
}

func TestUnknownConnectorIsNotFound(t *testing.T) {
	for _, d := range All() {
		if got, err := Find(d.Name); err != nil || got.Title != d.Title {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	if _, err := Find("nonsense"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v, want fault.NotFound", err)
	}
}
