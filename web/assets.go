package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// dist is the built page: what `npm run build` in web/ui wrote, or the
// placeholder alone.
//
//go:embed all:dist
var dist embed.FS

// mustSub is the embedded folder, which the compiler has seen.
func mustSub(f embed.FS, dir string) fs.FS {
	sub, err := fs.Sub(f, dir)
	if err != nil {
		panic("web: embedded folder: " + err.Error()) // a constant, valid path cannot fail
	}
	return sub
}

// notBuilt is served while dist holds the placeholder alone.
const notBuilt = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>nines</title><h1>UI not built: run <code>make build</code></h1>
<p>This program was compiled without its page. The API works: see <a href="/api/nines/v1/overview">/api/nines/v1/overview</a>.</p></html>
`

// asset is one file of the page, ready to send.
type asset struct {
	body       []byte
	zipped     func() []byte // worked out once, for the first who asks; nil where it is not smaller
	etag, kind string
	// immutable files carry a hash of their content in their name.
	immutable bool
}

// assets serves the page's files from memory.
type assets map[string]*asset

func loadAssets(root fs.FS) (assets, error) {
	as := assets{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		as[name] = newAsset(name, body)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read embedded page: %w", err)
	}
	if as["index.html"] == nil {
		as["index.html"] = newAsset("index.html", []byte(notBuilt))
	}
	return as, nil
}

// assetKinds are fixed here because the system's table may say otherwise.
var assetKinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".json": "application/json", ".webmanifest": "application/manifest+json",
	".png": "image/png", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8",
}

func newAsset(name string, body []byte) *asset {
	sum := sha256.Sum256(body)
	a := &asset{body: body, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, immutable: strings.HasPrefix(name, "assets/")}
	if a.kind = assetKinds[path.Ext(name)]; a.kind == "" {
		if a.kind = mime.TypeByExtension(path.Ext(name)); a.kind == "" {
			a.kind = "application/octet-stream"
		}
	}
	a.zipped = sync.OnceValue(func() []byte { return zipped(body) })
	return a
}

// zipped returns the body in fewer bytes, nil where that saves nothing.
func zipped(body []byte) []byte {
	if len(body) < gzipMin {
		return nil
	}
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil
	}
	_, _ = z.Write(body) // to memory: cannot fail
	_ = z.Close()
	if buf.Len() >= len(body) {
		return nil
	}
	return buf.Bytes()
}

func (as assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	a := as[name]
	if a == nil {
		writeError(w, r, http.StatusNotFound, "nothing is served at "+quoteShort(r.URL.Path)+"; the page is at /, its API under /api/nines/v1/")
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.etag)
	h.Add("Vary", "Accept-Encoding")
	if a.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.body
	if acceptsGzip(r) {
		if z := a.zipped(); z != nil {
			h.Set("Content-Encoding", "gzip")
			body = z
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone: nobody to tell
	}
}
