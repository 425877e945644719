package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

//go:embed square.example.yaml
var exampleConfig []byte

// writeExample leaves a configuration that is there alone.
func writeExample(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if _, err := f.Write(exampleConfig); err != nil {
		f.Close()
		return fmt.Errorf("configuration: %w", err)
	}
	return f.Close()
}
