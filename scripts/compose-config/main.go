// Loads compose files with the library that `docker compose config` loads them with, and prints the merged project.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithOsEnv, cli.WithConsistency(true))
	if err == nil {
		var rendered []byte
		if project, failed := options.LoadProject(context.Background()); failed != nil {
			err = failed
		} else if rendered, err = project.MarshalYAML(); err == nil {
			os.Stdout.Write(rendered)
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
