// OpenTelemetry's, Jaeger's and Zipkin's clients for Go, each with its defaults; tells what it sent as lines of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

var (
	output sync.Mutex
	lines  = json.NewEncoder(os.Stdout)
)

// tell writes one line for check.py.
func tell(line any) {
	output.Lock()
	defer output.Unlock()
	if err := lines.Encode(line); err != nil {
		panic(err)
	}
}

func main() {
	families := map[string]func(context.Context) error{
		"OpenTelemetry": opentelemetry,
	}
	failed := false
	for name, send := range families {
		if err := send(context.Background()); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
