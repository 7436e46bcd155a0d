package sandbox

import "slices"

// metadataField is a field that the account has made searchable.
type metadataField struct {
	Name         string  `json:"name"`
	State        string  `json:"state"`
	ViewTemplate *string `json:"view_template"`
}

// maxMetadataFields is how many an account has.
const maxMetadataFields = 10

func (s *Sandbox) listMetadata(none) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]metadataField{}, s.metadata...), nil
}

func (s *Sandbox) addMetadata(a metadataField) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case a.Name == "":
		return nil, invalidField("name", "Please enter a value")
	case s.metadataIndex(a.Name) >= 0:
		return nil, invalidField("name", "A metadata field with this name already exists")
	case len(s.metadata) >= maxMetadataFields:
		return nil, validation("You can only have 10 indexed metadata fields")
	}
	a.State = "active"
	s.metadata = append(s.metadata, a)
	return a, nil
}

func (s *Sandbox) updateMetadata(a metadataField) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.metadataIndex(a.Name)
	if i < 0 {
		return nil, unknown("Unknown_MetadataField", "Invalid metadata field name: %s", a.Name)
	}
	s.metadata[i].ViewTemplate = a.ViewTemplate
	return s.metadata[i], nil
}

func (s *Sandbox) deleteMetadata(a metadataField) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.metadataIndex(a.Name)
	if i < 0 {
		return nil, unknown("Unknown_MetadataField", "Invalid metadata field name: %s", a.Name)
	}
	deleted := s.metadata[i]
	deleted.State = "delete"
	s.metadata = slices.Delete(s.metadata, i, i+1)
	return deleted, nil
}

// metadataIndex returns the place of a field, or -1. The lock is held.
func (s *Sandbox) metadataIndex(name string) int {
	return slices.IndexFunc(s.metadata, func(f metadataField) bool { return f.Name == name })
}
