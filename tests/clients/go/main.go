// OpenTelemetry's, Jaeger's and Zipkin's clients for Go, each with its defaults; tells what it sent as lines of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
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

func serviceOf(client string) string {
	return strings.NewReplacer(" ", "-", "/", "-").Replace(client)
}

func main() {
	families := map[string]func(context.Context) error{
		"OpenTelemetry":  opentelemetry,
		"Zipkin":         zipkinClient,
		"Jaeger":         jaegerClient,
		"remote sampler": remoteSampler,
	}
	var all sync.WaitGroup
	var failed sync.Once
	status := 0
	for name, send := range families {
		all.Go(func() {
			if err := send(context.Background()); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
				failed.Do(func() { status = 1 })
			}
		})
	}
	all.Wait()
	os.Exit(status)
}
