//go:build tools

// What setup.ts builds; go.mod pins it, with the staging modules that k8s.io/kubernetes names only by replace lines.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
)
